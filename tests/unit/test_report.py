"""The report of a clip from those of its segments."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lipserve.passages import Passage, told
from lipserve.report import Quality, Report, join


def report(**changes: Any) -> Report:
    gaps = changes.get("passages", [])
    return Report(
        **{
            "tier": "lipwarp", "weights": "w", "width": 64, "height": 64, "fps": 25, "frames": 100,
            "seconds": 4, "faces": 1, "faceless_frames": 0, "detector_calls": 4, "driven_frames": 90,
            "stage_seconds": {}, **changes, "warnings": [*changes.get("warnings", []), *told(gaps)],
        }
    )  # fmt: skip


def quality(peak: int = 0, height: float = 0.8, **changes: Any) -> Quality:
    """Return what a sample says whose agreement is highest at an offset of `peak` frames."""
    curve = [round(max(0.0, height - 0.2 * abs(lag - peak)), 4) for lag in range(-10, 11)]
    return Quality(**{"samples": 40, "by_offset": curve, "frame_ms": 40, **changes}).judged()


def test_counts_add_up() -> None:
    whole = join([report(), report(driven_frames=50, covered_frames=7)])
    assert (whole.frames, whole.driven_frames, whole.covered_frames, whole.segments) == (200, 140, 7, 2)


def test_a_passage_that_a_border_cuts_is_told_once() -> None:
    first = report(passages=[Passage(what="no_face", begin=3, end=4)], warnings=["damaged"])
    second = report(
        passages=[Passage(what="no_face", begin=4, end=7), Passage(what="covered", begin=7.5, end=8)],
        warnings=["damaged"],
    )
    whole = join([first, second])
    assert [(p.what, p.begin, p.end) for p in whole.passages] == [("no_face", 3, 7), ("covered", 7.5, 8)]
    assert whole.warnings == ["damaged", "0:03 to 0:07: no face", "at 0:08: the mouth is covered"]


def test_an_offset_is_told_where_it_is_certain() -> None:
    assert (quality().agreement, quality().offset_ms) == (0.8, 0)
    assert (quality(4).agreement, quality(4).offset_ms) == (0.8, 160)
    assert quality(1).offset_ms == 40
    weak = quality(4, height=0.4)  # 40 samples reach that by chance
    assert (weak.agreement, weak.offset_ms) == (0, 0)
    silent = Quality(samples=5, frame_ms=40).judged()
    assert (silent.agreement, silent.offset_ms, silent.agreement_before) == (None, 0, None)


def test_the_quality_of_segments_is_their_mean_by_samples() -> None:
    first = quality(height=0.9, samples=30, sharpness=1.0, silent_samples=2, lip_leak=0.5, flicker=2.0)
    second = quality(height=0.6, samples=10, sharpness=0.6, silent_samples=6, lip_leak=0.0)
    whole = join([report(quality=first), report(quality=second), report()]).quality
    assert whole is not None
    assert whole.agreement == pytest.approx(0.825)
    assert (whole.samples, whole.sharpness, whole.flicker) == (40, 0.9, 2.0)
    assert (whole.silent_samples, whole.lip_leak) == (8, 0.125)
    assert join([report()]).quality is None
    assert join([report(quality=first)]).quality == first


@pytest.mark.parametrize(
    "changes", [{"by_offset": [2.0]}, {"samples": -1}, {"lip_leak": 1.5}, {"frame_ms": 0}]
)
def test_a_servers_word_is_held_to_its_bounds(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Quality(**{"samples": 1, "frame_ms": 40, **changes})
