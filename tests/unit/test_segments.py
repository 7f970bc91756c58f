from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve.files.picture import VideoInfo
from lipserve.segments import (
    WINDOW,
    SegmentLength,
    Span,
    frame_count,
    output_frames,
    plan,
    reference_frame_count,
    source_frames,
    source_span,
)
from tests.support.videos import FULL_HD

RATES = st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)])

TENS = SegmentLength(seconds=10.0)
WINDOWS = SegmentLength(frames=4 * WINDOW, full_window=True)


def info(frames: int, still: bool = False) -> VideoInfo:
    return replace(FULL_HD, frames=frames, still=still)


@given(st.integers(1, 200_000), RATES, st.sampled_from([(64, 64), (1920, 1080), (7680, 4320)]))
def test_a_plan_covers_every_frame_once_in_whole_windows(
    frames: int, fps: Fraction, size: tuple[int, int]
) -> None:
    spans = plan(frames, fps, *size, TENS)
    assert spans[0].first == 0
    assert spans[-1].stop == frames
    assert all(a.stop == b.first for a, b in pairwise(spans))
    assert all(span.count % WINDOW == 0 for span in spans[:-1])
    assert all(span.count >= 1 for span in spans)


@pytest.mark.parametrize(
    ("frames", "size", "lengths"),
    [
        (150, (360, 288), [150]),  # six seconds: one request
        (1000, (360, 288), [256, 256, 256, 232]),
        (1000, (1080, 1920), [256, 256, 256, 232]),
        (1000, (3840, 2160), [80] * 12 + [40]),  # a segment holds at most 600 megapixels
    ],
)
def test_the_length_of_segments(frames: int, size: tuple[int, int], lengths: list[int]) -> None:
    assert [span.count for span in plan(frames, Fraction(25), *size, TENS)] == lengths


def test_loop_plays_to_and_fro_without_holding_a_frame() -> None:
    assert source_frames(Span(0, 11), 4, "loop", 11).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    assert source_frames(Span(5, 3), 4, "loop", 8).tolist() == [1, 0, 1]
    assert source_frames(Span(0, 3), 1, "loop", 3).tolist() == [0, 0, 0]
    assert source_frames(Span(2, 4), 4, "freeze", 6).tolist() == [2, 3, 3, 3]


def test_other_ways_to_fill_the_length() -> None:
    assert source_frames(Span(0, 6), 4, "repeat", 6).tolist() == [0, 1, 2, 3, 0, 1]
    assert source_frames(Span(3, 3), 4, "silence", 6).tolist() == [3, 2, 1]
    assert source_frames(Span(0, 8), 4, "remap", 8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert source_frames(Span(0, 2), 4, "remap", 2).tolist() == [1, 3]
    assert source_frames(Span(0, 3), 1, "repeat", 3).tolist() == [0, 0, 0]


@given(st.integers(1, 400), st.integers(1, 400))
def test_remap_shows_the_whole_video_evenly_in_order(available: int, total: int) -> None:
    shown = source_frames(Span(0, total), available, "remap", total)
    assert (np.diff(shown) >= 0).all()
    assert np.ptp(np.diff(shown)) <= 1 if total > 1 else True
    assert 0 <= shown[0] <= available // total + 1
    assert available - 1 - available // total - 1 <= shown[-1] < available


@given(st.integers(0, 5000), st.integers(1, 400), st.integers(1, 300), st.sampled_from(["loop", "freeze"]))
def test_a_source_span_holds_what_is_shown_and_its_lead(
    first: int, count: int, available: int, mode: str
) -> None:
    span = Span(first, count)
    shown = source_frames(span, available, mode, span.stop)  # type: ignore[arg-type]
    needed = source_span(span, available, mode, span.stop)  # type: ignore[arg-type]
    assert needed.first == max(0, shown.min() - 32)
    assert needed.stop == min(available, shown.max() + 9)
    assert np.abs(np.diff(shown)).max(initial=0) <= 1


def test_the_speech_decides_the_length_unless_cut() -> None:
    assert output_frames(info(100), 10.0, "loop") == 250
    assert output_frames(info(100), 10.0, "freeze") == 250
    assert output_frames(info(100), 10.0, "cut") == 100
    assert output_frames(info(100), 2.0, "cut") == 50
    assert output_frames(info(1, still=True), 10.0, "cut") == 250
    assert output_frames(info(1, still=True), 10.0, "keep") == 250


def test_the_video_decides_the_length_where_that_is_asked() -> None:
    assert output_frames(info(100), 10.0, "keep") == 100
    assert output_frames(info(100), 2.0, "keep") == 100
    assert output_frames(info(100), 2.0, "silence") == 100
    assert output_frames(info(100), 10.0, "silence") == 250
    assert output_frames(info(100), 2.0, "remap") == 50
    assert frame_count(0.001, Fraction(25)) == 1


@given(st.integers(1, 200_000), RATES, st.sampled_from([(64, 64), (1920, 1080), (7680, 4320)]))
def test_no_segment_is_shorter_than_a_window_where_that_is_asked(
    frames: int, fps: Fraction, size: tuple[int, int]
) -> None:
    spans = plan(frames, fps, *size, WINDOWS)
    assert (spans[0].first, spans[-1].stop) == (0, frames)
    assert all(a.stop == b.first for a, b in pairwise(spans))
    assert all(span.count % WINDOW == 0 for span in spans[:-1])
    assert len(spans) == 1 or spans[-1].count >= WINDOW
    assert max(span.count for span in spans) < WINDOWS.frames + 2 * WINDOW


@pytest.mark.parametrize(
    ("seconds", "frames"), [(9.6, 242), (19.84, 498), (18.56, 466), (10.0, 252), (30.0, 752), (60.0, 1502)]
)
def test_upstream_makes_more_frames_than_the_speech_lasts(seconds: float, frames: int) -> None:
    """The counts that its demonstration's clips are known to have."""
    assert reference_frame_count(seconds, Fraction(25)) == frames
    assert output_frames(info(2000), seconds, "loop", reference=True) == frames
    assert output_frames(info(2000), seconds, "loop") == round(25 * seconds)


@given(st.integers(1, 3_000_000), RATES)
def test_upstreams_count_ends_with_the_first_frame_beyond_the_speech(samples: int, fps: Fraction) -> None:
    rows = samples // 160 // 2
    count = reference_frame_count(samples / 16_000, fps)
    assert (count - 1) * 50 // fps > rows
    assert (count - 2) * 50 // fps <= rows
