from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipserve.errors import InputError
from lipserve.latentsync.windows import Window, plan

Rows = NDArray[np.int32]


@st.composite
def requests(draw: st.DrawFn, most: int = 90) -> tuple[Rows, Rows, int, int]:
    """Some frames' faces, of up to three tracks, with gaps, in any order."""
    first = draw(st.integers(0, 70))
    stop = first + draw(st.integers(1, most))
    shown = draw(st.sets(st.tuples(st.integers(first, stop - 1), st.integers(0, 2))))
    rows = draw(st.permutations(sorted(shown)))
    table = np.array(rows, np.int32).reshape(-1, 2)
    return table[:, 0], table[:, 1], first, stop


@given(requests())
def test_every_row_is_kept_once_and_windows_are_sixteen_frames_of_one_track(
    request_: tuple[Rows, Rows, int, int],
) -> None:
    frames, tracks, first, stop = request_
    windows = plan(frames, tracks, first, stop)
    kept = [row for window in windows for row in window.kept[:, 1]]
    assert sorted(kept) == list(range(len(frames)))
    for window in windows:
        assert len(window.frames) == len(window.rows) == 16
        assert (tracks[window.rows] == window.track).all()
        step = np.diff(window.frames)
        if stop - first >= 16:
            assert (step == 1).all()
        else:  # the clip, then its last frame again
            np.testing.assert_array_equal(window.frames, np.minimum(first + np.arange(16), stop - 1))
        assert window.frames[0] >= first
        assert window.frames[-1] < stop
        for position, row in window.kept:
            assert window.frames[position] == frames[row]
            assert window.rows[position] == row


@given(requests())
def test_a_frame_without_a_face_is_shown_as_the_nearest_one_of_its_window(
    request_: tuple[Rows, Rows, int, int],
) -> None:
    frames, tracks, first, stop = request_
    for window in plan(frames, tracks, first, stop):
        there = sorted(
            int(frame)
            for frame, track in zip(frames, tracks, strict=True)
            if track == window.track and window.frames[0] <= frame <= window.frames[-1]
        )
        nearest = [min(there, key=lambda other: abs(other - frame)) for frame in window.frames]
        np.testing.assert_array_equal(frames[window.rows], nearest)


def _made(windows: list[Window], frames: Rows, tracks: Rows) -> dict[tuple[int, int], tuple[object, ...]]:
    """Return what each row's window saw, by the row's frame and track."""
    return {
        (int(frames[row]), int(tracks[row])): (
            position,
            tuple(window.frames),
            tuple(frames[window.rows]),
        )
        for window in windows
        for position, row in window.kept
    }


@given(requests(most=120), st.data())
def test_a_clip_in_segments_has_the_windows_of_the_whole(
    request_: tuple[Rows, Rows, int, int], data: st.DataObject
) -> None:
    frames, tracks, _, stop = request_
    joints = [cut for cut in range(16, stop, 16) if stop - cut >= 16]
    cuts = sorted(data.draw(st.sets(st.sampled_from(joints))) if joints else ())
    whole = _made(plan(frames, tracks, 0, stop), frames, tracks)
    parts: dict[tuple[int, int], tuple[object, ...]] = {}
    for begin, end in zip([0, *cuts], [*cuts, stop], strict=True):
        of = (frames >= begin) & (frames < end)
        parts |= _made(plan(frames[of], tracks[of], begin, end), frames[of], tracks[of])
    assert parts == whole


def test_the_last_window_looks_back_and_keeps_what_is_new() -> None:
    windows = plan(np.arange(40, dtype=np.int32), np.zeros(40, np.int32), 0, 40)
    assert [(int(w.frames[0]), len(w.kept)) for w in windows] == [(0, 16), (16, 16), (24, 8)]
    np.testing.assert_array_equal(windows[-1].kept[:, 0], np.arange(8, 16))
    np.testing.assert_array_equal(windows[-1].kept[:, 1], np.arange(32, 40))


def test_two_hundred_and_fifty_frames_are_two_hundred_and_fifty() -> None:
    windows = plan(np.arange(250, dtype=np.int32), np.zeros(250, np.int32), 0, 250)
    assert len(windows) == 16
    assert sum(len(window.kept) for window in windows) == 250


def test_no_face_is_no_window() -> None:
    empty = np.zeros(0, np.int32)
    assert plan(empty, empty, 0, 100) == []
    (only,) = plan(np.array([50], np.int32), np.array([3], np.int32), 0, 100)
    assert (only.track, only.frames[0], set(only.rows)) == (3, 48, {0})


def test_rows_that_cannot_be_planned_are_refused() -> None:
    zeros = np.zeros(2, np.int32)
    with pytest.raises(InputError, match="frames outside the request"):
        plan(np.array([3, 20], np.int32), zeros, 4, 40)
    with pytest.raises(InputError, match="same face in the same frame"):
        plan(np.array([5, 5], np.int32), zeros, 0, 40)
