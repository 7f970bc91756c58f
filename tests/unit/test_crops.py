from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.crops import Cropper
from lipserve.files.picture import VideoInfo
from lipserve.geometry import Geometry
from lipserve.latentsync.geometry import Reference
from lipserve.media import decode, probe
from lipserve.segments import Span, source_frames, source_span
from lipserve.tracking import Tracker, blocks
from lipserve.wav2lip.box import Box
from lipserve.wav2lip.geometry import Similarity
from lipserve_server.inside.leaves import OnnxLeaves


def _rows(
    leaves: OnnxLeaves, path: str, info: VideoInfo, shape: Geometry, span: Span
) -> dict[str, NDArray[Any]]:
    needed = source_span(span, info.frames, "loop", span.stop)
    tracker = Tracker(leaves, info.fps, info.pixel_aspect, "largest", None)
    cropper = Cropper(tracker, info, shape, needed.first)
    for block in blocks(decode.read(path, info, needed.first, needed.count, threads=1), needed.first):
        cropper.add(block)
    return cropper.rows(source_frames(span, info.frames, "loop", span.stop) - needed.first, span)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [Reference(256), Similarity(96), Box(96)])
def test_segments_have_the_crops_of_the_whole_clip(
    shared_data: Callable[[str], Path], exported: Path, shape: Geometry
) -> None:
    path, leaves = str(shared_data("video/LipNet__lbbc2a.mpg")), OnnxLeaves(exported)
    info = probe.probe(path)
    whole = _rows(leaves, path, info, shape, Span(0, 64))
    parts = [_rows(leaves, path, info, shape, Span(first, 32)) for first in (0, 32)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    np.testing.assert_array_equal(joined["FRAMES"], np.arange(64))
    np.testing.assert_array_equal(joined["TRACKS"], whole["TRACKS"])
    assert whole["FACES"].shape == (64, shape.size, shape.size, 3)
    error = ((joined["FACES"].astype(float) - whole["FACES"]) ** 2).reshape(64, -1).mean(1)
    assert 10 * np.log10(255**2 / max(error.mean(), 1e-6)) > 45
    assert np.abs(joined["TRANSFORMS"][:32] - whole["TRANSFORMS"][:32]).max() < 1e-3  # tracked alike


@pytest.mark.slow
def test_a_row_s_track_says_whose_face_it_is(shared_data: Callable[[str], Path], exported: Path) -> None:
    path = str(shared_data("video/face_recognition__short_hamilton_clip.mp4"))
    info = probe.probe(path)
    tracker = Tracker(OnnxLeaves(exported), info.fps, Fraction(1), "all", None)
    cropper = Cropper(tracker, info, Reference(256), 0)
    for block in blocks(decode.read(path, info, 0, 8, threads=1), 0):
        cropper.add(block)
    rows = cropper.rows(np.arange(8), Span(100, 8))
    np.testing.assert_array_equal(rows["FRAMES"], np.repeat(np.arange(100, 108), 2))
    np.testing.assert_array_equal(rows["TRACKS"], np.tile(np.array([0, 1], np.int32), 8))
    lefts = [rows["TRANSFORMS"][rows["TRACKS"] == track, 0, 2] for track in (0, 1)]
    apart = abs(lefts[0].mean() - lefts[1].mean())
    assert apart > 4 * max(np.ptp(left) for left in lefts)  # two places, and each stays where it is
