"""SOURCE: the prepared people of a video, for all its segments and all later speeches.

A file of one magic word, a JSON header and the remembered mouths' pixels as PNG, which keeps them exactly.
It comes from clients, so it is held to its bounds before anything is decoded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipserve import align
from lipserve.contracts.lipwarp import MOUTH_SIZE, SHAPES
from lipserve.errors import SourceError
from lipserve.files.picture import Colour, Picture, Plane, VideoInfo
from lipserve.lipwarp.compose import Patch
from lipserve.lipwarp.memory import MEMORIES
from lipserve.lipwarp.points import MOVED

MAGIC = b"LIPSRC01"
MAX_BYTES = 48 << 20  # of a whole SOURCE
MAX_HEADER = 512 << 10  # bytes: parsing hostile JSON takes a hundred times its size
MAX_PEOPLE = 8
MAX_PATCH = 768  # pixels, side of a remembered mouth: a larger one is kept at that size
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 2)
_PNG_SIZE = slice(16, 24)  # of a PNG: width and height, big-endian
_REMEDY = "Prepare the video again: lipserve prepare VIDEO -o FILE."

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Memory:
    """A remembered mouth: its pixels, its MOVED points in its mouth crop [133, 2], its shape [K]."""

    patch: Patch
    points: NDArray[np.float32]
    shape: Numbers

    def crop(self, colour: Colour) -> NDArray[np.uint8]:
        """Return the mouth crop, uint8 [96, 96, 3] RGB."""
        return align.crop(Picture(*self.patch.planes, colour), self.patch.transform, MOUTH_SIZE)


@dataclass(frozen=True)
class Person:
    """One face of the clip.

    Attributes:
        places: float64 [M, 4], where it was seen: source frame, then its middle x, y and its side in square
            pixels.
        closed: float64 [133, 3], the closed mouth, turned to the front (`shapes.frontal`).
        reach: how far the mouth opens in speech: the first number of a wide open shape.
        memories: one at least.
    """

    places: Numbers
    closed: Numbers
    reach: float
    memories: tuple[Memory, ...]

    @cached_property
    def patches(self) -> tuple[Patch, ...]:
        """The pixels of the memories."""
        return tuple(memory.patch for memory in self.memories)

    @cached_property
    def shapes(self) -> Numbers:
        """The shapes [R, K] of the memories."""
        return np.stack([memory.shape for memory in self.memories])

    def near(self, frame: int) -> tuple[float, float, float]:
        """Return the face's place at the known time closest to a frame: x, y, side."""
        _, x, y, side = self.places[int(np.argmin(np.abs(self.places[:, 0] - frame)))]
        return float(x), float(y), float(side)


@dataclass(frozen=True)
class Source:
    """A prepared video.

    Attributes:
        sha256: of the video's file; empty where the client has not told it.
        width, height, frames: of the video, as `probe` tells them.
        face: the option that chose the people.
        colour: what the samples of all memories mean.
    """

    sha256: str
    width: int
    height: int
    frames: int
    face: str
    colour: Colour
    people: tuple[Person, ...]

    def check(self, info: VideoInfo, face: str) -> None:
        """Raise SourceError if this was prepared from another video, or for other faces."""
        if (self.width, self.height, self.frames) != (info.width, info.height, info.frames):
            raise SourceError(
                f"The SOURCE was made from a video of {self.width}x{self.height} with {self.frames} frames; "
                f"this one is {info.width}x{info.height} with {info.frames}.",
                _REMEDY,
            )
        if face != self.face:
            raise SourceError(f"The SOURCE was prepared for face={self.face}, not {face}.", _REMEDY)

    def to_bytes(self) -> bytes:
        """Return the file that `from_bytes` reads."""
        blobs: list[bytes] = []
        people = [_person(person, blobs) for person in self.people]
        header = _Header(
            version=1,
            sha256=self.sha256,
            width=self.width,
            height=self.height,
            frames=self.frames,
            face=self.face,
            colour=self.colour,
            people=people,
        )
        text = header.model_dump_json().encode()
        return b"".join([MAGIC, struct.pack("<I", len(text)), text, *blobs])


def from_bytes(data: bytes) -> Source:
    """Return a SOURCE.

    Raises:
        SourceError: it is none, of another version, cut short, or out of bounds.
    """
    if data[: len(MAGIC)] != MAGIC:
        other = data[:6] == MAGIC[:6]
        raise SourceError(
            "The SOURCE was made by another version of LipServe."
            if other
            else "The file is not a SOURCE, the result of `lipserve prepare`.",
            _REMEDY,
        )
    if len(data) > MAX_BYTES:
        raise SourceError(f"The SOURCE has {len(data)} bytes; at most {MAX_BYTES} are accepted.", _REMEDY)
    try:
        (length,) = struct.unpack_from("<I", data, len(MAGIC))
        if length > MAX_HEADER:
            raise ValueError("no header is so long")
        begin = len(MAGIC) + 4
        header = _Header.model_validate_json(data[begin : begin + length])
        rest = _Reader(data, begin + length)
        people = tuple(_read_person(person, rest) for person in header.people)
    except (struct.error, ValidationError, ValueError, cv2.error) as error:
        raise SourceError("The SOURCE is damaged or cut short.", _REMEDY) from error
    return Source(
        header.sha256, header.width, header.height, header.frames, header.face, header.colour, people
    )


def remember(
    picture: Picture, transform: align.Transforms, points: NDArray[np.float32], shape: Numbers
) -> Memory:
    """Return the mouth that a picture shows, as large as it is there.

    Args:
        transform: float32 [2, 3], pixel of the picture -> pixel of the mouth crop.
        points: float32 [133, 2], pixels of the mouth crop.
    """
    height, width = picture.y.shape
    corners = np.array([[x, y, 1.0] for x in (-1, MOUTH_SIZE) for y in (-1, MOUTH_SIZE)])
    reach = corners @ align.invert(transform[None])[0].T.astype(np.float64)
    limit = (width, height)
    low = np.clip(np.floor(reach.min(0)), 0, limit).astype(int) // 2 * 2
    high = np.maximum(np.clip(np.ceil(reach.max(0)) + 1, 0, limit).astype(int), low + 2)
    half = slice(low[1] // 2, -(-high[1] // 2)), slice(low[0] // 2, -(-high[0] // 2))
    planes = (picture.y[low[1] : high[1], low[0] : high[0]], picture.u[half], picture.v[half])
    moved = transform.astype(np.float64)
    moved[:, 2] += moved[:, :2] @ low
    return Memory(_bounded(planes, moved), points, shape)


def _bounded(planes: tuple[Plane, ...], transform: Numbers) -> Patch:
    """Return a patch of at most MAX_PATCH pixels a side; what is smaller keeps its samples to the bit."""
    side = max(planes[0].shape)
    if side > MAX_PATCH:
        gain = MAX_PATCH / side
        sizes = [tuple(max(2, round(length * gain)) for length in plane.shape[::-1]) for plane in planes]
        transform = transform.copy()
        for axis, (old, new) in enumerate(zip(planes[0].shape[::-1], sizes[0], strict=True)):
            step = old / new
            transform[:, 2] += transform[:, axis] * (0.5 * step - 0.5)
            transform[:, axis] *= step
        planes = tuple(
            np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)
            for plane, size in zip(planes, sizes, strict=True)
        )
    y, u, v = (np.ascontiguousarray(plane) for plane in planes)
    return Patch((y, u, v), transform.astype(np.float32))


_Sha256 = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
_Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e7, le=1e7)]
_Side = Annotated[int, Field(ge=1, le=MAX_PATCH + 1)]
_Blob = Annotated[int, Field(ge=1, le=4 << 20)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _list(length: int) -> Any:
    return Field(min_length=length, max_length=length)


class _Plane(_Strict):
    width: _Side
    height: _Side
    size: _Blob


class _Memory(_Strict):
    planes: Annotated[list[_Plane], _list(3)]
    transform: Annotated[list[_Finite], _list(6)]
    points: Annotated[list[_Finite], _list(2 * len(MOVED))]
    shape: Annotated[list[_Finite], _list(SHAPES)]


class _Person(_Strict):
    places: Annotated[list[Annotated[list[_Finite], _list(4)]], Field(min_length=1, max_length=512)]
    closed: Annotated[list[_Finite], _list(3 * len(MOVED))]
    reach: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
    memories: Annotated[list[_Memory], Field(min_length=1, max_length=MEMORIES)]


class _Header(_Strict):
    version: Literal[1]
    sha256: _Sha256
    width: Annotated[int, Field(ge=1, le=8192)]
    height: Annotated[int, Field(ge=1, le=8192)]
    frames: Annotated[int, Field(ge=1, le=10_000_000)]
    face: Annotated[str, Field(max_length=32)]
    colour: Colour
    people: Annotated[list[_Person], Field(max_length=MAX_PEOPLE)]


def _person(person: Person, blobs: list[bytes]) -> _Person:
    return _Person(
        places=np.round(person.places, 2).tolist(),
        closed=np.round(person.closed, 5).reshape(-1).tolist(),
        reach=person.reach,
        memories=[_memory(memory, blobs) for memory in person.memories],
    )


def _memory(memory: Memory, blobs: list[bytes]) -> _Memory:
    planes = []
    for plane in memory.patch.planes:
        data = cv2.imencode(".png", plane, _PNG)[1].tobytes()
        blobs.append(data)
        planes.append(_Plane(width=plane.shape[1], height=plane.shape[0], size=len(data)))
    return _Memory(
        planes=planes,
        transform=memory.patch.transform.reshape(-1).tolist(),
        points=np.round(memory.points.astype(np.float64), 3).reshape(-1).tolist(),
        shape=np.round(memory.shape, 5).tolist(),
    )


class _Reader:
    """Reads what follows the header."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def plane(self, record: _Plane) -> Plane:
        """Return the next plane; ValueError where it is not as large as the header says."""
        png = self._data[self._at : self._at + record.size]
        self._at += record.size
        if len(png) != record.size or struct.unpack(">II", png[_PNG_SIZE]) != (record.width, record.height):
            raise ValueError("cut short")
        plane = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
        if plane is None or plane.shape != (record.height, record.width):
            raise ValueError("no PNG")
        return np.asarray(plane, np.uint8)


def _read_person(record: _Person, rest: _Reader) -> Person:
    memories = tuple(_read_memory(memory, rest) for memory in record.memories)
    return Person(np.array(record.places), np.array(record.closed).reshape(-1, 3), record.reach, memories)


def _read_memory(record: _Memory, rest: _Reader) -> Memory:
    y, u, v = (rest.plane(plane) for plane in record.planes)
    if not (u.shape == v.shape == (-(-y.shape[0] // 2), -(-y.shape[1] // 2))):
        raise ValueError("the planes do not belong together")
    transform = np.array(record.transform, np.float32).reshape(2, 3)
    if abs(float(np.linalg.det(transform[:, :2].astype(np.float64)))) < 1e-9:
        raise ValueError("no transform")
    return Memory(
        Patch((y, u, v), transform),
        np.array(record.points, np.float32).reshape(-1, 2),
        np.array(record.shape),
    )
