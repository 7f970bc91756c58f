"""The people of a SOURCE are followed and nobody else, and what a segment shows of them is the clip's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from demo import portrait
from lipserve.files.picture import MediaSource
from lipserve.lipwarp.geometry import to_crop
from lipserve.lipwarp.mouths import MouthCropper, PreparedTracker, _looked_at, _steady
from lipserve.lipwarp.points import MOVED, OUTER
from lipserve.lipwarp.source import Source
from lipserve.media import decode, probe
from lipserve.segments import Span, source_frames, source_span
from lipserve.tracking import blocks
from lipserve_server.inside.leaves import OnnxLeaves
from tests.unit.lipwarp.films import film, look, two_people


@pytest.fixture(scope="module")
def leaves(exported: Path) -> OnnxLeaves:
    return OnnxLeaves(exported)


def rows(
    video: MediaSource, leaves: OnnxLeaves, source: Source, span: Span
) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
    """Return what is known of the mouths in a span of output frames, and where they are covered."""
    info = probe.probe(video)
    needed = source_span(span, info.frames, "loop", span.stop)
    tracker = PreparedTracker(leaves, info, source, needed.first)
    cropper = MouthCropper(tracker, info, source, needed.first)
    for block in blocks(decode.read(video, info, needed.first, needed.count, threads=1), needed.first):
        cropper.add(block)
    found = cropper.rows(source_frames(span, info.frames, "loop", span.stop) - needed.first, span)
    return found, cropper.covered


def test_a_row_tells_where_the_points_are_and_how_the_mouth_stands(leaves: OnnxLeaves) -> None:
    video = film(portrait.frames(0.8, (256, 256)))
    source = look(video, leaves)
    found, covered = rows(video, leaves, source, Span(0, 20))
    np.testing.assert_array_equal(found["FRAMES"], np.arange(20))
    assert not found["TRACKS"].any()
    assert not covered.any()
    points = to_crop(found["MESHES"][:, MOVED].astype(np.float64), found["TRANSFORMS"], Fraction(1))
    np.testing.assert_allclose(found["POINTS"], points, atol=1e-3)
    lips = found["POINTS"][:, OUTER].mean(1)
    assert np.abs(lips - [47.5, 45]).max() < 8, "the lips lie in the middle of the crop"
    assert found["SHAPES"].shape == (20, 8)
    assert found["SHAPES"].dtype == found["POSES"].dtype == np.float32
    assert np.ptp(found["SHAPES"][:, 0]) < 0.3, "she keeps smiling"
    turns = found["POSES"] @ found["POSES"].transpose(0, 2, 1)
    spread = np.sqrt(turns[:, [0, 1], [0, 1]])
    assert np.abs(spread / spread.mean() - 1).max() < 0.1, "an eye distance is as long either way"
    assert 50 < spread.mean() < 70, "0.44 of a face crop, of which the mouth crop is 0.74"


def test_other_people_are_not_followed(leaves: OnnxLeaves) -> None:
    video = two_people()
    whole, one = look(video, leaves, "all"), look(video, leaves)
    assert [len(whole.people), len(one.people)] == [2, 1]
    found, _ = rows(video, leaves, one, Span(0, 25))
    assert len(found["FRAMES"]) == 25
    assert not found["TRACKS"].any()
    found, _ = rows(video, leaves, whole, Span(0, 25))
    assert len(found["FRAMES"]) == 50
    for track, who in enumerate(whole.people):
        own = found["TRANSFORMS"][found["TRACKS"] == track]
        x, y, _ = who.near(0)
        place = own[0, :, :2] @ [x, y] + own[0, :, 2]
        assert np.abs(place - [47.5, 47.5]).max() < 60, "track i is person i"


def test_the_order_of_the_people_is_the_sources(leaves: OnnxLeaves) -> None:
    video = two_people()
    source = look(video, leaves, "all")
    turned = replace(source, people=source.people[::-1])
    (found, _), (other, _) = (rows(video, leaves, given, Span(0, 8)) for given in (source, turned))
    for track in (0, 1):
        mine = found["TRANSFORMS"][found["TRACKS"] == track]
        np.testing.assert_allclose(mine, other["TRANSFORMS"][other["TRACKS"] == 1 - track], atol=1e-4)


def test_an_absent_person_gives_no_rows(leaves: OnnxLeaves) -> None:
    video = film(portrait.frames(0.8, (256, 256)))
    source = look(video, leaves)
    (who,) = source.people
    elsewhere = replace(who, places=who.places + np.array([0, 3000, 3000, 0]))
    found, covered = rows(video, leaves, replace(source, people=(elsewhere,)), Span(0, 20))
    assert all(len(values) == 0 for values in found.values())
    assert not covered.any()
    found, _ = rows(video, leaves, replace(source, people=(elsewhere, who)), Span(0, 20))
    assert (found["TRACKS"] == 1).all()
    assert len(found["FRAMES"]) == 20


def test_a_source_without_people_gives_no_rows(leaves: OnnxLeaves) -> None:
    video = film(portrait.frames(0.4, (256, 256)))
    source = replace(look(video, leaves), people=())
    found, covered = rows(video, leaves, source, Span(0, 10))
    assert found["POINTS"].shape == (0, 133, 2)
    assert found["FACES"].shape == (0, 96, 96, 3)
    assert found["POSES"].shape == (0, 2, 3)
    assert covered.shape == (10,)


@pytest.mark.slow
def test_segments_have_the_mouths_of_the_whole_clip(
    shared_data: Callable[[str], Path], leaves: OnnxLeaves
) -> None:
    path = str(shared_data("video/LipNet__lbbc2a.mpg"))
    source = look(path, leaves)
    whole, _ = rows(path, leaves, source, Span(0, 64))
    parts = [rows(path, leaves, source, Span(first, 32))[0] for first in (0, 32)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    np.testing.assert_array_equal(joined["FRAMES"], np.arange(64))
    error = ((joined["FACES"].astype(float) - whole["FACES"]) ** 2).mean()
    assert 10 * np.log10(255**2 / max(error, 1e-6)) > 45
    assert np.abs(joined["POINTS"] - whole["POINTS"]).max() < 1.0
    assert np.abs(joined["SHAPES"] - whole["SHAPES"])[:, 0].max() < 0.05


@given(st.lists(st.integers(2, 7), max_size=12), st.booleans())
def test_every_second_picture_tells_what_lasts(runs: list[int], first: bool) -> None:
    seen = [first ^ bool(number % 2) for number, length in enumerate(runs) for _ in range(length)]
    looks: list[int] = []

    def look(number: int) -> bool:
        looks.append(number)
        return seen[number]

    np.testing.assert_array_equal(_looked_at(look, len(seen)), np.array(seen, bool))
    assert len(looks) == len(set(looks)) <= len(seen) // 2 + 1 + len(runs)


@pytest.mark.parametrize(
    ("seen", "steady"),
    [
        ("..........", ".........."),
        ("...##.....", ".........."),  # a blink of the measure
        ("...###....", "...###...."),
        ("###....###", "##########"),  # something that comes and goes as fast is there all the time
        ("###.....##", "###.....##"),
        ("#.........", "#........."),  # it may have lasted before the clip
        ("..##.##...", "..#####..."),
        ("##########", "##########"),
    ],
)
def test_a_cover_of_a_mouth_does_not_come_and_go_in_an_instant(seen: str, steady: str) -> None:
    marked = np.array([letter == "#" for letter in seen])
    assert "".join(".#"[int(value)] for value in _steady(marked)) == steady


def _another(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the portrait as somebody else: mirrored, darker, of other colours."""
    return np.ascontiguousarray(frame[:, ::-1, [1, 0, 2]] // 2)


def test_who_takes_anothers_place_after_a_cut_gets_their_own_mouth(leaves: OnnxLeaves) -> None:
    """Of face=all: the track goes on at its place, and its rows become those of the person who is there."""
    frames = portrait.frames(2.0, (160, 160))
    video = film([frame if number < 25 else _another(frame) for number, frame in enumerate(frames)])
    source = look(video, leaves, "all")
    assert len(source.people) == 2
    found, _ = rows(video, leaves, source, Span(0, 50))
    np.testing.assert_array_equal(found["FRAMES"], np.arange(50))
    np.testing.assert_array_equal(found["TRACKS"], [0] * 25 + [1] * 25)


def test_two_who_change_places_at_a_cut_keep_their_mouths(leaves: OnnxLeaves) -> None:
    frames = portrait.frames(2.0, (160, 160))
    pairs = [(frame, _another(frame)) for frame in frames]
    video = film(
        [np.concatenate(pair if number < 25 else pair[::-1], 1) for number, pair in enumerate(pairs)]
    )
    source = look(video, leaves, "all")
    both = replace(source, people=source.people[:2])  # as if the second shot had not been looked at
    found, _ = rows(video, leaves, both, Span(0, 50))
    assert len(found["FRAMES"]) == 100
    right = -found["TRANSFORMS"][:, 0, 2] / found["TRANSFORMS"][:, 0, 0] > 160
    before = found["FRAMES"] < 25
    np.testing.assert_array_equal(found["TRACKS"], right == before)


def test_somebody_whom_nobody_prepared_is_left_alone(leaves: OnnxLeaves) -> None:
    frames = portrait.frames(2.0, (160, 160))
    video = film([frame if number < 25 else _another(frame) for number, frame in enumerate(frames)])
    source = look(video, leaves, "all")
    one = replace(source, people=source.people[:1])
    found, _ = rows(video, leaves, one, Span(0, 50))
    np.testing.assert_array_equal(found["FRAMES"], np.arange(25))
