"""Who is who across shots, by colour; and the cast that this makes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipserve.errors import OptionsError
from lipserve.files.picture import Colour, Picture
from lipserve.looks import ALIKE, apart, look
from lipserve.quality.cast import Cast
from lipserve.quality.people import together
from lipserve.quality.results import CheckedFace, CheckResult, Second, Stretch
from lipserve.quality.speaking import Trace, Turn
from lipserve.segments import Span
from lipserve.show.faces_sheet import Tile, caption, sheet

BOX = (80.0, 40.0, 140.0, 120.0)
WHITE, RED, BLUE = (235, 128, 128), (90, 100, 200), (60, 190, 110)


def person(skin: tuple[int, int, int], coat: tuple[int, int, int], seed: int = 0) -> Picture:
    """Return a face of one colour over a coat of another, with noise."""
    rng = np.random.default_rng(seed)
    planes = []
    for plane, scale in ((0, 1), (1, 2), (2, 2)):
        area = np.full((200 // scale, 220 // scale), 120.0)
        area[40 // scale : 120 // scale, 80 // scale : 140 // scale] = skin[plane]
        area[125 // scale :, 40 // scale : 180 // scale] = coat[plane]
        planes.append(np.clip(area + rng.normal(0, 3, area.shape), 0, 255).astype(np.uint8))
    return Picture(planes[0], planes[1], planes[2], Colour())


def face(number: int, shot: int, begin: float, end: float) -> CheckedFace:
    return CheckedFace(
        number=number,
        shot=shot,
        begin=begin,
        end=end,
        seen=end - begin,
        finding="no_speech",
        agreement=None,
        needed=0.2,
        offset_ms=0.0,
        at_zero=None,
        lip_leak=None,
        silent_seconds=0.0,
        sharpness=None,
        flicker=None,
        flicker_around=None,
        seconds=(Second(int(begin), BOX, 25, None, 0.0),),
    )


def test_the_same_colours_are_near_and_others_are_far() -> None:
    one = look(person((150, 110, 150), WHITE), BOX)
    again = look(person((150, 110, 150), WHITE, seed=1), BOX)
    other_coat = look(person((150, 110, 150), RED), BOX)
    somebody = look(person((80, 120, 140), BLUE), BOX)
    assert apart(one, again) < 0.2
    assert apart(one, other_coat) > ALIKE
    assert apart(one, somebody) > 0.6


def test_a_box_beyond_the_picture_has_a_look_too() -> None:
    assert np.isfinite(look(person(WHITE, RED), (-50.0, -20.0, 500.0, 400.0))).all()
    assert np.isfinite(look(person(WHITE, RED), (218.0, 198.0, 219.0, 199.0))).all()


def test_faces_of_several_shots_become_people_and_those_seen_at_once_never_one() -> None:
    white, red = (look(person((150, 110, 150), coat), BOX) for coat in (WHITE, RED))
    faces = [face(1, 0, 0, 4), face(2, 0, 1, 4), face(3, 1, 4, 8), face(4, 2, 8, 9)]
    assert together(faces, [white, white, red, white]) == [[0, 3], [1], [2]]


def cast() -> Cast:
    faces = (face(1, 0, 0.0, 4.0), face(2, 0, 0.0, 4.0), face(3, 1, 4.0, 8.0))
    shots = (Stretch(0, 4), Stretch(4, 8))
    check = CheckResult(220, 200, 25.0, 200, 8.0, True, shots, faces, ())
    boxes = np.tile(np.array(BOX), (100, 1))
    frames = [np.arange(100), np.arange(100), np.arange(100, 200)]
    traces = [Trace(n + 1, n // 2, frames[n], np.zeros((100, 4)), boxes + 20 * n) for n in range(3)]
    turns = [Turn(1, Span(10, 40), 110, 80), Turn(3, Span(120, 50), 150, 120)]
    held = [Turn(1, Span(0, 100), 110, 80), Turn(3, Span(100, 100), 150, 120)]
    looks = [look(person((150, 110, 150), coat), BOX) for coat in (WHITE, RED, WHITE)]
    return Cast.of(check, traces, looks, turns, held)


def test_a_cast_tells_its_people_and_their_turns() -> None:
    told = cast().result(b"png")
    assert [(one.number, one.faces, one.begin, one.end, one.seen) for one in told.people] == [
        (1, (1, 3), 0, 8, 8),
        (2, (2,), 0, 4, 4),
    ]
    assert [(turn.person, turn.begin, turn.end) for turn in told.turns] == [(1, 0.4, 2.0), (1, 4.8, 6.8)]
    assert [one.speaking for one in told.people] == [3.6, 0]
    assert told.rows()[0].startswith("1: seen 8.0 s, 0:00 to 0:08, speaks 3.6 s, 100%")
    assert told.to_json()["people"][1]["faces"] == (2,)


def test_whom_a_face_names_is_driven_where_they_are_seen() -> None:
    assert cast().stretches("1") == [(Span(0, 100), "110.0,80.0"), (Span(100, 100), "150.0,120.0")]
    assert cast().stretches("2") == [(Span(0, 100), "130.0,100.0")]
    assert cast().stretches("speaking") == [(Span(0, 100), "110.0,80.0"), (Span(100, 100), "150.0,120.0")]
    with pytest.raises(OptionsError, match="2 people are seen"):
        cast().stretches("3")


def test_the_sheet_shows_everybody_with_numbers() -> None:
    picture = person(WHITE, RED)
    tiles = [Tile(picture, [caption(1, 0, 7, 2.1), caption(2, 0, 1, 0)], [(1, BOX), (2, (0, 0, 40, 40))])]
    drawn = cv2.imdecode(np.frombuffer(sheet(tiles * 3), np.uint8), cv2.IMREAD_COLOR)
    assert drawn is not None
    assert drawn.shape == (2 * (round(640 * 200 / 220) + 60), 1280, 3)
    assert caption(1, 0, 7, 2.1) == "1: 0:00 to 0:07, speaks 2.1 s"
    assert cv2.imdecode(np.frombuffer(sheet([]), np.uint8), cv2.IMREAD_COLOR) is not None
