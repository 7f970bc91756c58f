"""Stretches of time, in words and joined."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lipserve.passages import Kind, Passage, between, clock, merged, passages, told


def passage(begin: float, end: float, what: Kind = "no_face") -> Passage:
    return Passage(what=what, begin=begin, end=end)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (9.6, "0:10"), (75, "1:15"), (3599.4, "59:59"), (7325, "2:02:05")]
)
def test_times_are_told_as_people_say_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_short_stretch_is_a_moment() -> None:
    assert between(3.2, 6.9) == "0:03 to 0:07"
    assert between(3.2, 3.4) == "at 0:03"


def test_flags_become_passages_in_the_clips_own_time() -> None:
    flags = np.zeros(100, bool)
    flags[:10] = flags[50:75] = flags[90:92] = True
    found = passages("covered", flags, 250, Fraction(25))
    assert [(p.begin, p.end) for p in found] == [(10, 10.4), (12, 13)]  # two frames are too short to tell
    assert str(found[1]) == "0:12 to 0:13: the mouth is covered"


def test_neighbours_of_one_kind_are_one_and_kinds_stay_apart() -> None:
    found = merged([passage(5, 6), passage(0, 2), passage(2.2, 3), passage(1, 4, "covered")])
    assert found == [passage(0, 3), passage(1, 4, "covered"), passage(5, 6)]


def test_of_very_many_the_longest_are_told() -> None:
    many = [passage(10 * i, 10 * i + 1 + (i % 7) / 10) for i in range(1500)]
    kept = merged(many)
    assert len(kept) == 1000
    assert min(p.end - p.begin for p in kept) >= 1.2 - 1e-6
    assert [p.begin for p in kept] == sorted(p.begin for p in kept)
    lines = told(kept)
    assert len(lines) == 21
    assert lines[-1] == "980 more passages, all shorter, are in the report"
