"""Which frames of a video are looked at before it is prepared."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve.lipwarp.prepare import STRETCH_FRAMES, STRETCHES, between, stretches
from lipserve.segments import Span

LOOKED_AT = STRETCHES * STRETCH_FRAMES


def test_a_short_clip_is_looked_at_whole() -> None:
    assert stretches(Span(3, LOOKED_AT), [0, 50]) == [Span(3, LOOKED_AT)]
    assert len(stretches(Span(3, LOOKED_AT + 1))) == STRETCHES


def test_stretches_are_spread_from_the_first_frame_to_the_last() -> None:
    spread = stretches(Span(100, 1500))
    assert (spread[0].first, spread[-1].stop) == (100, 1600)
    gaps = {after.first - before.first for before, after in pairwise(spread)}
    assert max(gaps) - min(gaps) <= 1
    assert {span.count for span in spread} == {STRETCH_FRAMES}


def test_stretches_move_back_to_key_frames() -> None:
    assert [span.first for span in stretches(Span(0, 1500), range(0, 1500, 50))] == [
        0, 200, 400, 600, 800, 1050, 1250, 1450,
    ]  # fmt: skip


def test_fewer_key_frames_begin_longer_stretches() -> None:
    """A key frame every ten seconds: nobody decodes seconds to see a few frames."""
    found = stretches(Span(0, 1500), range(0, 1500, 250))
    assert found == [Span(first, 24) for first in range(0, 1500, 250)]


def test_too_few_key_frames_are_not_what_a_clip_is_judged_by() -> None:
    assert stretches(Span(0, 1500), [0, 20, 700]) == stretches(Span(0, 1500))


@given(
    st.integers(0, 500),
    st.integers(1, 4000),
    st.lists(st.integers(0, 4500), max_size=60, unique=True).map(sorted),
)
def test_stretches_lie_within_do_not_overlap_and_are_never_more(
    first: int, frames: int, keys: list[int]
) -> None:
    needed = Span(first, frames)
    found = stretches(needed, keys)
    assert found[0].first >= needed.first
    assert found[-1].stop <= needed.stop
    assert all(before.stop <= after.first for before, after in pairwise(found))
    assert 1 <= len(found) <= STRETCHES
    assert 0 < sum(span.count for span in found) <= LOOKED_AT
    assert max(span.count for span in found) <= 1000  # what a request may say


def test_a_second_look_is_between_the_stretches_of_the_first() -> None:
    once = stretches(Span(0, 1500))
    twice = between(once)
    assert len(twice) == STRETCHES - 1
    for before, middle, after in zip(once, twice, once[1:], strict=False):
        assert abs((middle.first - before.stop) - (after.first - middle.stop)) <= 1
    together = sorted([*once, *twice], key=lambda span: span.first)
    assert len(between(together)) == 2 * STRETCHES - 2


@pytest.mark.parametrize("frames", [1, LOOKED_AT, LOOKED_AT + 1, LOOKED_AT + 6 * STRETCH_FRAMES])
def test_a_second_look_needs_room(frames: int) -> None:
    assert between(stretches(Span(0, frames))) == []
