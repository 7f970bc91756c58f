"""A video's SOURCE: what to ask a server for it, and one that was kept, held to the video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipserve.contracts.lipwarp import LIPWARP_PREPARE
from lipserve.errors import InternalError, SourceError
from lipserve.files.picture import MediaSource
from lipserve.lipwarp.prepare import between, stretches
from lipserve.lipwarp.source import MAX_BYTES, Source, from_bytes
from lipserve.options import Options, PrepareOptions, Stretch
from lipserve.segments import Span
from lipserve_client._cancel import in_thread
from lipserve_client._film import Film
from lipserve_client._fleet import Fleet
from lipserve_client._transports import Call, Expected

_LOOKS = 3  # at a video in which no face is seen: 8 stretches, 7 between them, 14 between all of these
_SOURCE_BYTES = 4 << 20  # about: what shared memory is taken for


@dataclass(frozen=True)
class Prepared:
    """A SOURCE: its bytes, and what they say.

    Attributes:
        retries: requests that were sent again for it.
    """

    data: bytes
    source: Source
    retries: int = 0


async def prepare(fleet: Fleet, film: Film, needed: Span, face: str) -> Prepared:
    """Return the SOURCE of a video, from a spread of the source frames that are needed.

    Where these show no face, others between them are looked at. The SOURCE of a video that shows none has no
    people.

    Raises:
        InputError: `face` names none, or a pixel outside the picture; whatever the server refuses.
    """
    options = Options(face=face)
    options.check_face()
    options.point_in(film.info)
    calls = _calls(film, needed, face)
    found: Prepared | None = None
    while found is None or not found.source.people:
        call = await in_thread(next, calls, None)
        if call is None:
            break
        answer = await fleet.infer(call)
        retries = answer.retries + (found.retries if found else 0)
        found = _read(answer.tensors["SOURCE"], film, face, retries)
    assert found is not None
    return found


def kept(source: MediaSource, film: Film, face: str | None) -> Prepared:
    """Return a SOURCE that the caller kept.

    Args:
        face: the request's option; None: the caller names none, and the SOURCE's own is meant.

    Raises:
        SourceError: it cannot be read, or was prepared of another video or for other faces.
    """
    data = source if isinstance(source, bytes) else _load(Path(source))
    found = from_bytes(data)
    _hold(found, film, found.face if face is None else face)
    return Prepared(data, found)


def _hold(found: Source, film: Film, face: str) -> None:
    if found.sha256 and found.sha256 != film.sha256:
        raise SourceError(
            "The SOURCE was made from another video.", "Prepare this video: lipserve prepare VIDEO -o FILE."
        )
    found.check(film.info, face)


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # more is refused where it is read
    except OSError as error:
        raise SourceError(
            f"The SOURCE {str(path)!r} cannot be opened ({error.strerror}).", "Check the path."
        ) from error


def _read(data: object, film: Film, face: str, retries: int) -> Prepared:
    if not isinstance(data, bytes):
        raise InternalError(
            "SOURCE does not have the type BYTES.", "Check that client and server are of one version."
        )
    try:
        found = from_bytes(data)
        _hold(found, film, face)
        return Prepared(data, found, retries)
    except SourceError as error:
        raise InternalError(error.message, "Check that client and server are of one version.") from error


def _calls(film: Film, needed: Span, face: str) -> Iterator[Call]:
    """Yield what to ask, in turn, as long as no face is seen."""
    looked_at: list[Span] = []
    spans = stretches(needed, film.key_frames)
    for _ in range(_LOOKS):
        yield _call(film, face, spans)
        looked_at = sorted([*looked_at, *spans], key=lambda span: span.first)
        spans = between(looked_at)
        if not spans:
            return


def _call(film: Film, face: str, spans: list[Span]) -> Call:
    """Return the call for stretches, in order."""
    options = PrepareOptions(
        face=face,
        sha256=film.sha256,
        source=film.info,
        stretches=tuple(Stretch(first=span.first, frames=span.count) for span in spans),
    )
    return Call(
        LIPWARP_PREPARE.name,
        inputs={
            "VIDEO": np.array(_files(film, spans), np.object_),
            "OPTIONS": options.model_dump_json(exclude_defaults=True).encode(),
        },
        outputs={"SOURCE": Expected(size=_SOURCE_BYTES)},
    )


def _files(film: Film, spans: list[Span]) -> list[bytes]:
    """Return a piece of the video for each stretch, or one with them all: for less, or where one has none."""
    pieces = [piece for span in spans if (piece := film.piece(span)) is not None]
    every = Span(spans[0].first, spans[-1].stop - spans[0].first)
    small = sum(map(len, pieces)) * film.info.frames < film.size * every.count
    return pieces if small and len(pieces) == len(spans) else [film.cut(every)]
