"""Every kind of input that a user may send, through the real server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from demo import portrait
from lipserve import Client, DubResult, audio
from lipserve.contracts import TierName
from lipserve.errors import (
    AudioError,
    InputError,
    LimitError,
    LipServeError,
    NoFaceError,
    OptionsError,
    VideoError,
)
from lipserve.files.picture import Colour, MediaSource, Picture, VideoInfo
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from tests.support.processes import computing
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

Find = Callable[[str], Path]


@dataclass(frozen=True)
class Asked:
    """A client of one tier.

    Attributes:
        triton: the process id of its server.
        driven: levels that the most changed tile of a frame with another mouth is off the source: more where
            random weights make noise of it.
    """

    client: Client
    tier: TierName
    driven: float
    triton: int

    def dub(self, video: MediaSource, sound: bytes, **options: Any) -> DubResult:
        return self.client.dub(video, sound, tier=self.tier, **options)


DRIVEN: dict[TierName, float] = {"lipwarp": 12.0, "wav2lip": 20.0}


@pytest.fixture(scope="module", params=DRIVEN)
def asked(
    request: pytest.FixtureRequest, server: RunningServer, boxed_server: RunningServer
) -> Iterator[Asked]:
    tier: TierName = request.param
    found = server if tier == "lipwarp" else boxed_server
    with Client(found.url, timeout=120) as client:
        yield Asked(client, tier, DRIVEN[tier], found.pid)


def speech(seconds: float, loud: float = 0.3) -> bytes:
    """Return noise that comes and goes like syllables."""
    time_ = np.arange(round(seconds * 16000)) / 16000
    noise = np.random.default_rng(0).normal(size=time_.size)
    return audio.wav((loud * noise * np.sin(2 * np.pi * 2 * time_) ** 2 / 4).astype(np.float32))


@dataclass
class Pair:
    """The pictures of a source and of its result, luma only, on the result's frames."""

    info: VideoInfo
    before: list[np.ndarray]
    after: list[np.ndarray]

    def changed(self) -> np.ndarray:
        """Return, for each frame, how far its most changed tile of 8x8 is from the source (0..255)."""
        return np.array(
            [
                cv2.resize(cv2.absdiff(a, b), None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA).max()
                for a, b in zip(self.before, self.after, strict=True)
            ]
        )


def pair(video: MediaSource, result: DubResult) -> Pair:
    source, made = probe.probe(video), probe.probe(result.content)
    count = min(source.frames, made.frames)
    before = [p.y.copy() for p in decode.read(video, source, 0, count)]
    after = [p.y[: source.height, : source.width].copy() for p in decode.read(result.content, made, 0, count)]
    return Pair(made, before, after)


def check(result: DubResult, seconds: float, video: MediaSource) -> VideoInfo:
    """Assert what holds of every result: its length, its sound, its rate; return what is known of it."""
    source, made = probe.probe(video), probe.probe(result.content)
    assert made.frames == result.report.frames
    assert abs(made.frames - seconds * float(source.fps)) <= 1
    assert made.fps == source.fps
    assert (made.width, made.height) == (result.report.width, result.report.height)
    assert made.codec == "h264"
    assert abs(len(audio.load(result.content)) / 16000 - made.seconds) < 0.05
    return made


CASES = {
    "no audio stream": ("edge/noaudio_vr2.mp4", 1.0, 1.0),
    "five frames": ("edge/short5f_vr2.mp4", 1.0, 1.0),
    "one frame": ("edge/oneframe_vr2.mp4", 1.0, 1.0),
    "a face that fills the frame": ("video/Syncnet_FCN__example.avi", 1.0, 1.0),
    "a face of a tenth of the height": ("video/LivePortrait__s13.mp4", 1.0, 1.0),
    "a small face in a portrait video": ("video/LatentSync__demo1_video.mp4", 1.0, 1.0),
    "rotation by metadata": ("edge/rot90_meta_demo2.mp4", 1.0, 0.9),
    "HDR10": ("edge/hdr10_pq_demo1.mp4", 0.6, 1.0),
    "odd size, 4:4:4": ("edge/odd_dims_yuv444_katie.mp4", 2.0, 1.0),
    "variable frame rate": ("video/video-retalking__1.mp4", 3.0, 1.0),
    "60 fps": ("video/LiveTalking__demo.mp4", 1.0, 1.0),
    "MPEG-1": ("video/LipNet__bbaf2n.mpg", 2.9, 1.0),
}


SAMPLE = {"HDR10", "speech looped", "all faces", "no face", "the other tier's option"}
"""What both tiers are asked for in `make test`, for their own stages do it; the rest goes to lipwarp."""
ELSEWHERE = {
    *("a face of a tenth of the height", "a small face in a portrait video"),
    *("five frames", "60 fps", "MPEG-1"),
}
"""Clips that `make test` reads, cuts and finds faces in without a server: unit/media and parity."""


def of_both(cases: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    """Return the cases of each tier, those that are not of the sample marked."""

    def marks(tier: TierName, case: str) -> list[pytest.MarkDecorator]:
        asked = case in SAMPLE or (tier == "lipwarp" and case not in ELSEWHERE)
        return [] if asked else [pytest.mark.whole]

    return [
        pytest.param(tier, *values, id=f"{tier}-{case}", marks=marks(tier, case))
        for tier in DRIVEN
        for case, values in cases.items()
    ]


@pytest.mark.parametrize(("asked", "name", "seconds", "found"), of_both(CASES), indirect=["asked"])
def test_real_clips(asked: Asked, shared_data: Find, name: str, seconds: float, found: float) -> None:
    video = shared_data(name)
    result = asked.dub(video, speech(seconds))
    check(result, seconds, video)
    faces = 1 - result.report.faceless_frames / result.report.frames
    assert faces >= found
    assert result.report.detector_calls <= 6 + seconds  # a first search that needs every turn, one a second
    changed = pair(video, result).changed()
    assert np.quantile(changed, 0.9) > asked.driven  # the mouth is another one


@pytest.mark.parametrize(
    ("asked", "mode"),
    of_both({"speech looped": ("loop",), "speech over a still": ("freeze",), "speech cut": ("cut",)}),
    indirect=["asked"],
)
def test_speech_longer_than_the_video(asked: Asked, mode: str) -> None:
    video = portrait.clip(seconds=1.0, size=(320, 320))
    result = asked.dub(video, speech(3.0), on_length_mismatch=mode)
    made = check(result, 1.0 if mode == "cut" else 3.0, video)
    pictures = [p.y[:60].astype(int) for p in decode.read(result.content, made)]  # above the face
    source = [p.y[:60].astype(int) for p in decode.read(video, probe.probe(video))]
    expected = {"loop": [24, 23, 0, 1], "freeze": [24, 24, 24, 24], "cut": []}[mode]
    for output, shown in zip((24, 25, 48, 49), expected, strict=False):
        errors = [np.abs(pictures[output] - frame).mean() for frame in source]
        assert errors[shown] < min(errors) + 0.05


def test_speech_shorter_than_the_video_ends_the_result(asked: Asked) -> None:
    video = portrait.clip(seconds=2.0, size=(320, 320))
    check(asked.dub(video, speech(0.6)), 0.6, video)


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.19])
def test_a_very_short_speech(asked: Asked, seconds: float) -> None:
    video = portrait.clip(seconds=0.5, size=(320, 320))
    result = asked.dub(video, speech(seconds))
    assert result.report.frames == max(1, round(seconds * 25))


def test_silence(asked: Asked) -> None:
    video = portrait.clip(seconds=1.0, size=(320, 320))
    result = asked.dub(video, audio.wav(np.zeros(16000, np.float32)))
    check(result, 1.0, video)
    assert np.abs(audio.load(result.content)).max() < 1e-3


@pytest.mark.parametrize("asked", of_both({"a picture": ()}), indirect=True)
def test_an_image_and_a_speech_become_a_clip(asked: Asked) -> None:
    frame = portrait.frames(seconds=0.04)[0]
    for ending in (".png", ".jpg"):
        image = cv2.imencode(ending, frame[..., ::-1])[1].tobytes()
        result = asked.dub(image, speech(1.0))
        check(result, 1.0, image)
        assert result.report.faceless_frames == 0


@pytest.mark.parametrize("asked", of_both({"a gap": ()}), indirect=True)
def test_a_face_gap_is_left_untouched(asked: Asked, shared_data: Find) -> None:
    video = shared_data("edge/facegap_1p5s_vr3.mp4")
    result = asked.dub(video, speech(4.2))
    both = pair(video, result)
    untouched = both.changed() < 12  # what x264 alone does
    assert abs(int(untouched.sum()) - 38) <= 6  # 1.5 s, and a frame of the fade on either side
    runs = np.flatnonzero(untouched)
    assert runs[-1] - runs[0] == len(runs) - 1
    assert 36 <= result.report.faceless_frames <= 40


def stretches(path: Path, *spans: tuple[int, int]) -> bytes:
    """Return these frames of a video as a video."""
    info, file = probe.probe(path), io.BytesIO()
    with VideoWriter(file, info.width, info.height, info.fps, info.colour, crf=10) as writer:
        for first, end in spans:
            for picture in decode.read(path, info, first, end - first):
                writer.write(picture)
    return file.getvalue()


@pytest.mark.parametrize("asked", of_both({"profiles": ()}), indirect=True)
def test_faces_in_profile_pass_through_for_every_choice_of_a_face(asked: Asked, shared_data: Find) -> None:
    whole = shared_data("video/face_recognition__short_hamilton_clip.mp4")
    video = stretches(whole, (5, 35), (82, 115), (195, 235))  # the singer, a profile; him; him, the audience
    found = {}
    for face in ("largest", "all"):
        report = asked.dub(video, speech(3.4), face=face).report
        found[face] = 1 - report.faceless_frames / report.frames
    assert 0.4 < found["largest"] < 0.9  # the rest are profiles and the dark audience
    assert found["all"] >= found["largest"] - 0.02


def two_faces() -> bytes:
    """Return a second of the portrait twice, the right one larger."""
    left, right = portrait.frames(1.0, (320, 320), 1.6), portrait.frames(1.0, (320, 320), 2.6)
    file = io.BytesIO()
    with VideoWriter(file, 640, 320, Fraction(25), Colour(), crf=12) as writer:
        for a, b in zip(left, right, strict=True):
            writer.write(portrait.picture(np.concatenate([a, b], 1)))
    return file.getvalue()


SIDES = {
    "the largest face": ("largest", [False, True]),
    "all faces": ("all", [True, True]),
    "a face by its place": ("160,150", [True, False]),
}


@pytest.mark.parametrize(("asked", "face", "sides"), of_both(SIDES), indirect=["asked"])
def test_several_faces(asked: Asked, face: str, sides: list[bool]) -> None:
    video = two_faces()
    result = asked.dub(video, speech(1.0), face=face)
    both = pair(video, result)
    for column, driven in zip((slice(0, 320), slice(320, 640)), sides, strict=True):
        half = Pair(both.info, [f[:, column] for f in both.before], [f[:, column] for f in both.after])
        assert (np.median(half.changed()) > asked.driven) == driven
    assert result.report.faces == sum(sides)


def blank(width: int = 320, height: int = 240, frames: int = 25) -> bytes:
    file = io.BytesIO()
    ramp = np.tile(np.arange(width, dtype=np.uint8), (height, 1))
    half = np.full((height // 2, width // 2), 128, np.uint8)
    with VideoWriter(file, width, height, Fraction(25), Colour()) as writer:
        for _ in range(frames):
            writer.write(Picture(ramp, half, half, Colour()))
    return file.getvalue()


def huge_header() -> bytes:
    """Return a PNG that declares 100,000 x 100,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


REFUSED: dict[
    str, tuple[Callable[[], bytes], Callable[[], bytes], dict[str, object], type[LipServeError]]
] = {
    "empty video": (lambda: b"", lambda: speech(1), {}, VideoError),
    "text as video": (lambda: b"hello " * 999, lambda: speech(1), {}, VideoError),
    "sound as video": (lambda: speech(2), lambda: speech(1), {}, VideoError),
    "declared 100,000 x 100,000": (huge_header, lambda: speech(1), {}, LimitError),
    "no face": (blank, lambda: speech(1), {}, NoFaceError),
    "one pixel": (lambda: blank(2, 2), lambda: speech(1), {}, NoFaceError),
    "empty speech": (blank, lambda: b"", {}, AudioError),
    "text as speech": (blank, lambda: b"hello " * 999, {}, AudioError),
    "silent video as speech": (blank, blank, {}, AudioError),
    "unknown option": (blank, lambda: speech(1), {"colour": "red"}, OptionsError),
    "option out of range": (blank, lambda: speech(1), {"crf": 99}, OptionsError),
    "a face that is none": (blank, lambda: speech(1), {"face": "nose"}, OptionsError),
    "the other tier's option": (blank, lambda: speech(1), {"steps": 20}, OptionsError),
}


@pytest.mark.parametrize(
    ("asked", "video", "sound", "options", "error"), of_both(REFUSED), indirect=["asked"]
)
def test_refusals_are_typed_cheap_and_harmless(
    asked: Asked,
    video: Callable[[], bytes],
    sound: Callable[[], bytes],
    options: dict[str, object],
    error: type[LipServeError],
) -> None:
    picture, heard = video(), sound()

    with computing(2.0, asked.triton), pytest.raises(error) as caught:
        asked.dub(picture, heard, **options)
    assert type(caught.value) is error
    assert len(str(caught.value).split(". ")) >= 2  # what is wrong, and what to do
    good = asked.dub(portrait.clip(seconds=0.2, size=(320, 320)), speech(0.2))
    assert good.report.frames == 5


@pytest.mark.parametrize("name", ["edge/truncated_vr2.mp4", "video/moviepy__test_video.mp4"])
def test_real_hostile_files(asked: Asked, shared_data: Find, name: str) -> None:
    with pytest.raises(InputError):
        asked.dub(shared_data(name), speech(1.0))


def test_no_face_in_a_real_clip(asked: Asked, shared_data: Find) -> None:
    video = shared_data("video/sample-videos__bottle-detection.mp4")

    with computing(6.0, asked.triton), pytest.raises(NoFaceError, match="passthrough"):
        asked.dub(video, speech(3.0))


def test_passthrough_gives_the_video_back(asked: Asked) -> None:
    video = blank()
    result = asked.dub(video, speech(1.0), on_no_face="passthrough")
    check(result, 1.0, video)
    assert result.report.faceless_frames == result.report.frames == 25
    assert pair(video, result).changed().max() < 12
