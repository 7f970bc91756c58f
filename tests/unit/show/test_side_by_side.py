from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.errors import AudioError, InputError, VideoError
from lipserve.files.picture import MediaSource
from lipserve.media import probe
from lipserve.show import side_by_side
from tests.support.media import Shown

Clips = Callable[..., bytes]
Decoder = Callable[[bytes], list[Shown]]
NumberOf = Callable[[NDArray[np.uint8]], int]

TALL = 240  # pixels: the stripes that tell a frame's number lie below the names
LABEL = 30  # pixels, more than a name takes of the height


def _tone(seconds: float) -> bytes:
    times = np.arange(round(seconds * 16_000)) / 16_000
    return audio.wav((0.5 * np.sin(2 * np.pi * 440 * times)).astype(np.float32))


def _write(
    left: MediaSource, right: MediaSource, names: tuple[str, str] = ("one", "two"), sound: bytes | None = None
) -> bytes:
    file = io.BytesIO()
    side_by_side.write(file, left, right, names, sound)
    return file.getvalue()


def test_each_half_is_its_video_frame_by_frame(clip: Clips, shown: Decoder, number_of: NumberOf) -> None:
    left, right = clip(20, (128, TALL)), clip(20, (160, TALL))
    told: list[tuple[int, int]] = []
    file = io.BytesIO()
    frames = side_by_side.write(
        file, left, right, ("one", "two"), on_progress=lambda *done: told.append(done)
    )
    made = shown(file.getvalue())
    assert frames == len(made) == 20
    assert told == [(done, 20) for done in range(1, 21)]
    sources = shown(left), shown(right)
    for number, frame in enumerate(made):
        assert frame.time == Fraction(number, 25)
        y = frame.planes[0]
        assert y.shape == (TALL, 288)
        for half, source in zip((y[:, :128], y[:, 128:]), sources, strict=True):
            assert number_of(half) == number
            error = np.abs(half[LABEL:].astype(int) - source[number].planes[0][LABEL:]).mean()
            assert error < 2.0
        for plane, (one, other) in enumerate(
            zip(sources[0][number].planes[1:], sources[1][number].planes[1:], strict=True), 1
        ):
            joined = np.concatenate([one, other], 1).astype(int)
            assert np.abs(frame.planes[plane][LABEL // 2 :] - joined[LABEL // 2 :]).mean() < 2.0


def test_names_are_burnt_into_the_corner_of_their_half(clip: Clips, shown: Decoder) -> None:
    video = clip(3, (128, TALL))
    plain, other = (shown(_write(video, video, names))[1] for names in (("one", "two"), ("one", "six")))
    for frame in (plain, other):
        y, u, _ = frame.planes
        for x in (0, 128):
            corner = y[:18, x : x + 30]
            assert corner.min() < 40
            assert corner.max() > 180
            assert np.abs(u[2:8, x // 2 + 2 : x // 2 + 14].astype(int) - 128).max() < 12
    change = np.abs(plain.planes[0].astype(int) - other.planes[0])
    assert change[:LABEL, :128].max() < 30
    assert change[:LABEL, 128:].max() > 100
    assert change[LABEL + 16 :].max() < 30


@pytest.mark.parametrize(
    "name", ["a name that is far too long for a picture of this size, " * 3, "Zoë 名", ""]
)
def test_any_name_stays_inside_its_half(name: str, clip: Clips, shown: Decoder) -> None:
    video = clip(2, (64, 48))
    named, other = (shown(_write(video, video, (each, "b")))[0].planes[0] for each in (name, "a"))
    assert np.abs(named[:, 66:].astype(int) - other[:, 66:]).max() < 40


def test_the_sound_ends_with_the_pictures(clip: Clips) -> None:
    video = clip(25, (64, 48))
    data = _write(video, video, sound=_tone(3.0))
    with av.open(io.BytesIO(data)) as film:
        assert [stream.type for stream in film.streams] == ["video", "audio"]
    heard = audio.load(data)
    assert len(heard) / 16_000 == pytest.approx(1.0, abs=0.05)
    assert np.abs(heard).max() > 0.3
    assert not probe.probe(_write(video, video)).has_audio


def test_videos_that_do_not_match_are_refused(clip: Clips) -> None:
    video = clip(10, (64, 48))
    for other in (clip(9, (64, 48)), clip(10, (64, 64)), clip(10, (64, 48), rate=30)):
        with pytest.raises(InputError, match="side by side"):
            _write(video, other)
    with pytest.raises(VideoError):
        _write(video, b"no video at all")
    with pytest.raises(AudioError):
        _write(video, video, sound=video)


def test_a_failure_leaves_no_file(clip: Clips, tmp_path: Path) -> None:
    video = clip(10, (64, 48))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side.write(tmp_path / "out.mp4", video, video, ("a", "b"), on_progress=stop)
    assert not list(tmp_path.iterdir())
