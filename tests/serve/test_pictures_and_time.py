"""Clocks, fields, transparency and damage, through the real server: in one request, and in segments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import Client, DubResult, audio
from lipserve.media import decode, probe
from lipserve.tiers import LIPWARP
from tests.support.segments import shorten
from tests.unit.conftest import clip, number_of  # noqa: F401 (fixtures)
from tests.unit.media.test_deinterlace import interlaced

pytestmark = pytest.mark.serve

Clip = Callable[..., bytes]
NumberOf = Callable[[NDArray[np.uint8]], int]
Find = Callable[[str], Path]


def _silence(seconds: float) -> bytes:
    return audio.wav(np.zeros(round(16_000 * seconds), np.float32))


def _sync(client: Client, video: bytes | Path, seconds: float, **options: Any) -> DubResult:
    return client.dub(video, _silence(seconds), on_no_face="passthrough", **options)


@pytest.mark.parametrize("pieces", [1, 3])
def test_joined_recordings_are_shown_one_after_the_other(
    client: Client,
    clip: Clip,  # noqa: F811
    number_of: NumberOf,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    pieces: int,
) -> None:
    if pieces > 1:
        shorten(monkeypatch, LIPWARP, seconds=1.3)
    video = b"".join(clip(n, container="mpegts", options={"bf": "2", "g": "12"}) for n in (33, 67))
    result = _sync(client, video, 4)
    assert result.report.segments == pieces
    (warning,) = [text for text in result.report.warnings if "clock" in text]
    assert "(1 time)" in warning
    made = probe.probe(result.content)
    numbers = [number_of(picture.y) for picture in decode.read(result.content, made)]
    assert numbers == [*range(33), *range(67)]


def test_fields_and_transparency_are_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, LIPWARP, seconds=1.3)
    whole = _sync(client, interlaced(100), 4)
    assert whole.report.segments == 3
    assert [text for text in whole.report.warnings if "interlaced" in text]
    rows = next(decode.read(whole.content, probe.probe(whole.content), 50, 1)).y.astype(int)
    assert np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean(1).max() < 3  # 30 with combs


@pytest.mark.parametrize("pieces", [1, 3])
def test_damage_of_either_file_is_told(
    client: Client,
    clip: Clip,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    pieces: int,
) -> None:
    if pieces > 1:
        shorten(monkeypatch, LIPWARP, seconds=1.3)
    video = clip(120, container="matroska", options={"bf": "2", "g": "12"})
    speech = _silence(5)
    result = client.dub(
        video[: len(video) * 9 // 10], speech[: len(speech) * 4 // 5], on_no_face="passthrough"
    )
    said = " ".join(result.report.warnings)
    assert "The video is cut short or damaged" in said
    assert "The speech is cut short or damaged" in said
    assert "short" not in " ".join(_sync(client, video, 4).report.warnings)


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("mpeg4_bframes_30fps.avi", ""),
        ("concat_clock_restarts.ts", "clock"),
        pytest.param("concat_clock_jumps.ts", "clock", marks=pytest.mark.whole),
        ("interlaced_tff.mp4", "interlaced"),
        ("portrait_alpha.png", "transparent"),
        ("h264_whole.avi", ""),
        ("vp9_whole.ivf", ""),
        ("exif.jpeg", ""),
        pytest.param("exif.png", "", marks=pytest.mark.whole),
        pytest.param("exif.tiff", "", marks=pytest.mark.whole),
        ("anim.webp", "transparent"),
    ],
)
def test_files_that_failed_once(client: Client, shared_data: Find, name: str, warned: str) -> None:
    path = shared_data(f"faults/{name}")
    result = client.dub(path, shared_data("faults/sp3.wav"), on_length_mismatch="cut")
    said = [text for text in result.report.warnings if "weights" not in text]
    assert len(said) == bool(warned)
    assert all(warned in text for text in said)
    assert result.report.faceless_frames == 0
    if name.endswith((".avi", ".ts", ".ivf")):  # their numbers are burnt into eight blocks at the top left
        pictures = decode.read(result.content, probe.probe(result.content))
        numbers = [sum(int(p.y[12, 20 + 20 * bit] > 128) << bit for bit in range(8)) for p in pictures]
        count = min(96, probe.probe(path).frames)
        assert numbers[:59] == list(range(59))
        assert len(numbers) == count
        assert numbers[59:] in (list(range(59, count)), [60])  # h264_whole.avi ends so
