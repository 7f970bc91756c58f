"""The plan of a clip with cues: which are active when, and what contradicts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from lipserve.cues import Cue, CueSheet, Stretch, plan
from lipserve.cues.plan import fades
from lipserve.errors import CueError

FPS = Fraction(25)
LEFT, RIGHT = "100,100", "300,100"


def sheet(*cues: dict[str, Any], bypass: tuple[tuple[float, float], ...] = ()) -> CueSheet:
    return CueSheet(
        cues=tuple(Cue(**cue) for cue in cues), bypass=tuple(Stretch(start=a, end=b) for a, b in bypass)
    )


def parts(given: CueSheet, frames: int = 250) -> list[tuple[int, int, tuple[int, ...]]]:
    return [(part.span.first, part.span.stop, part.cues) for part in plan(given, frames, FPS)]


def test_cues_divide_the_clip_without_gaps() -> None:
    given = sheet({"start": 1, "end": 3, "face": LEFT}, {"start": 2, "face": RIGHT}, bypass=((4, 5),))
    assert parts(given) == [
        (0, 25, ()),
        (25, 50, (0,)),
        (50, 75, (0, 1)),
        (75, 100, (1,)),
        (100, 125, ()),
        (125, 250, (1,)),
    ]


def test_without_cues_all_stays_untouched() -> None:
    assert parts(sheet()) == [(0, 250, ())]


def test_a_mouth_fades_where_its_face_is_not_driven_next() -> None:
    given = sheet(
        {"start": 1, "end": 3, "face": LEFT},
        {"start": 3, "end": 5, "face": LEFT},
        {"start": 5, "face": RIGHT},
    )
    planned = plan(given, 250, FPS)
    assert fades(planned, given.cues, 0) == [(True, False)]
    assert fades(planned, given.cues, 1) == [(False, True)]
    assert fades(planned, given.cues, 2) == [(True, False)]  # the clip ends with it


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (sheet({"start": 3, "end": 2}), "Cue 1 ends at 2 s and starts at 3 s"),
        (sheet({"end": 2}, {"start": 9, "end": 12}), "Cue 2 lasts from 9 to 12 s; the result ends at 10 s"),
        (sheet({"start": 10}), "ends at 10 s and starts at 10 s"),
        (sheet({"start": 1, "end": 1.001}), "shorter than one frame"),
        (sheet(bypass=((11, 12),)), "Bypass 1"),
        (sheet({"end": 2}, {"start": 1, "end": 3}), "Cues 1 and 2 drive the same face"),
        (sheet({"end": 2, "face": "all"}, {"start": 1, "face": LEFT}), "the same face"),
        (sheet({"end": 2, "face": LEFT}, {"start": 1, "face": "100, 100"}), "the same face"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_contradicts_is_told(given: CueSheet, message: str) -> None:
    with pytest.raises(CueError, match=message):
        plan(given, 250, FPS)


def test_a_cue_may_end_with_the_last_frame_though_rounding_says_one_more() -> None:
    assert parts(sheet({"start": 0, "end": 10.04})) == [(0, 250, (0,))]
