"""A video to its SOURCE, on real faces: who, how closed, how far, and which mouths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve.files.picture import Picture
from lipserve.lipwarp.cover import Shown
from lipserve.lipwarp.points import MOVED
from lipserve.lipwarp.prepare import STRETCH_FRAMES, STRETCHES, _reach, between, prepare, stretches
from lipserve.lipwarp.shapes import frontal, shipped_basis
from lipserve.lipwarp.source import Person, from_bytes
from lipserve.media import cut, decode, index, probe
from lipserve.media.yuv import resized
from lipserve.segments import Span
from lipserve.tracking import Tracker, blocks
from lipserve_server.inside.leaves import OnnxLeaves
from tests.unit.lipwarp.films import film, look, two_people

UPPER, LOWER = (int(np.flatnonzero(point == MOVED)[0]) for point in (13, 14))
TYPICAL = 2 * float(shipped_basis().deviation[0])


@pytest.fixture(scope="module")
def leaves(exported: Path) -> OnnxLeaves:
    return OnnxLeaves(exported)


def gap(who: Person) -> float:
    """Return how far apart the inner lips of the closed mouth are, in eye distances."""
    return float(who.closed[LOWER, 1] - who.closed[UPPER, 1])


def test_a_short_clip_is_looked_at_whole_and_a_long_one_at_a_spread() -> None:
    assert stretches(Span(7, STRETCHES * STRETCH_FRAMES)) == [Span(7, STRETCHES * STRETCH_FRAMES)]
    spread = stretches(Span(100, 5000))
    assert len(spread) == STRETCHES
    assert spread[0].first == 100
    assert spread[-1].stop == 5100
    assert sum(span.count for span in spread) == STRETCHES * STRETCH_FRAMES
    assert all(before.stop <= after.first for before, after in pairwise(spread))


@pytest.mark.parametrize("every", [12, 50, 250, 700, 10_000])
def test_stretches_lie_in_the_clip_one_behind_the_other_wherever_key_frames_are(every: int) -> None:
    keys = list(range(0, 3000, every))
    spans = stretches(Span(33, 2500), keys)
    assert spans[0].first >= 33
    assert spans[-1].stop <= 2533
    assert all(before.stop <= after.first for before, after in pairwise(spans))
    assert len(spans) >= 4
    assert sum(span.count for span in spans) <= STRETCHES * STRETCH_FRAMES
    at_keys = sum(span.first in keys for span in spans)
    assert at_keys == (len(spans) if every <= 250 else at_keys)


def test_stretches_between_others_overlap_none_of_them() -> None:
    spread = stretches(Span(0, 3000))
    middles = between(spread)
    assert len(middles) == STRETCHES - 1
    for before, middle, after in zip(spread, middles, spread[1:], strict=False):
        assert before.stop <= middle.first
        assert middle.stop <= after.first
    assert between([Span(0, 18), Span(20, 18)]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "opens"),
    [
        ("video/LipNet__lbbc2a.mpg", (0.4, 1.1)),
        ("video/SadTalker__WDA_AlexandriaOcasioCortez_000.mp4", (0.5, 1.11)),
        ("video/video-retalking__2.mp4", (0.5, 1.11)),
    ],
)
def test_a_speaker_has_a_closed_mouth_a_reach_and_eight_mouths(
    shared_data: Callable[[str], Path], leaves: OnnxLeaves, name: str, opens: tuple[float, float]
) -> None:
    path = str(shared_data(name))
    info, source = probe.probe(path), look(path, leaves)
    assert (source.width, source.height, source.frames) == (info.width, info.height, info.frames)
    (who,) = source.people
    assert -0.01 < gap(who) < 0.05
    assert opens[0] < who.reach < opens[1]
    assert len(who.memories) == 8
    openings = who.shapes[:, 0]
    assert openings[0] == openings.max() > 0.7 * who.reach
    assert openings.min() < 0.35 * who.reach
    assert len(source.to_bytes()) < 2 << 20
    assert from_bytes(source.to_bytes()).people[0].reach == who.reach


@pytest.mark.slow
def test_a_remembered_mouth_is_where_its_points_are(
    shared_data: Callable[[str], Path], leaves: OnnxLeaves
) -> None:
    """In the crop of a memory the lips are darker or redder than the skin around them."""
    source = look(str(shared_data("video/LipNet__lbbc2a.mpg")), leaves)
    for kept in source.people[0].memories:
        shown = Shown(kept.crop(source.colour), kept.points)
        assert shown.contrast > 15
        away = Shown(shown.crop, (kept.points - np.float32([0, 25])).astype(np.float32))
        assert away.contrast < shown.contrast


def test_one_picture_is_one_person_with_one_mouth_and_the_reach_of_most_people(leaves: OnnxLeaves) -> None:
    source = look(film(portrait.frames(0.04, (256, 256))), leaves)
    (who,) = source.people
    assert len(who.memories) == 1
    assert who.reach == pytest.approx(TYPICAL)
    assert gap(who) < 0.03
    assert source.frames == 1


def test_a_face_that_never_moves_has_the_reach_of_most_people(leaves: OnnxLeaves) -> None:
    """And its smile, which shows teeth in every frame, is not taken for a closed mouth."""
    still = portrait.frames(0.04, (256, 256))[0]
    (who,) = look(film([still] * 50), leaves).people
    assert who.reach == pytest.approx(TYPICAL)
    assert gap(who) < 0.03
    assert who.shapes[0, 0] > 0.05, "the smile is open beside it"


@pytest.mark.slow
def test_a_mouth_that_is_always_open_is_shut_for_the_closed_one(
    shared_data: Callable[[str], Path], leaves: OnnxLeaves
) -> None:
    """Of a speaker only the frames with a wide open mouth."""
    path = str(shared_data("video/LipNet__sbia1a.mpg"))
    info = probe.probe(path)
    whole = look(path, leaves).people[0]
    pictures = list(decode.read(path, info, 0, 75, threads=1))
    openings = _openings(path, leaves)
    wide = np.flatnonzero(openings > np.quantile(openings, 0.8))
    frames = [_rgb(pictures[index]) for index in wide for _ in range(3)]  # each is looked at once
    (who,) = look(film(frames), leaves).people
    assert gap(who) < 0.04
    assert np.abs(who.closed - whole.closed).mean() < 0.05
    assert who.shapes[:, 0].min() > 0.05


def _openings(path: str, leaves: OnnxLeaves) -> NDArray[np.float64]:
    info = probe.probe(path)
    tracker, done = Tracker(leaves, info.fps, info.pixel_aspect, "largest", None), 0
    for block in blocks(decode.read(path, info, 0, 75, threads=1), 0):
        tracker.add(block, done)
        done += len(block)
    points, _ = frontal(np.array(tracker.tracks[0].landmarks), shipped_basis())
    return np.asarray(points[:, LOWER, 1] - points[:, UPPER, 1])


def _rgb(picture: Picture) -> NDArray[np.uint8]:
    return resized(picture, picture.y.shape[1], picture.y.shape[0])


def test_all_faces_are_all_people_and_each_keeps_its_own_mouths(leaves: OnnxLeaves) -> None:
    source = look(two_people(), leaves, "all")
    assert len(source.people) == 2
    sides = sorted(who.near(0)[0] for who in source.people)
    assert sides[0] < 256 < sides[1]
    for who in source.people:
        left = who.near(0)[0] < 256
        assert all((place[1] < 256) == left for place in who.places)


@pytest.mark.parametrize(
    ("face", "point", "left"),
    [("largest", None, True), ("120,120", (120.0, 120.0), True), ("380,110", (380.0, 110.0), False)],
)
def test_one_face_is_the_largest_or_the_one_at_a_pixel(
    leaves: OnnxLeaves, face: str, point: tuple[float, float] | None, left: bool
) -> None:
    source = look(two_people(), leaves, face, point)
    (who,) = source.people
    assert source.face == face
    assert ((who.places[:, 1] < 256) == left).all()


def test_a_video_without_a_face_has_no_people(leaves: OnnxLeaves) -> None:
    source = look(film([np.full((128, 128, 3), 90, np.uint8)] * 10), leaves)
    assert source.people == ()
    assert from_bytes(source.to_bytes()) == source


def test_pieces_of_a_video_say_what_the_whole_says(leaves: OnnxLeaves) -> None:
    """The stretches that a client cuts out and sends, each a file of its own."""
    video = portrait.clip(8.0, (192, 192))
    info, packets = probe.probe(video), index.scan(video)
    spans = stretches(Span(0, info.frames), cut.key_frames(packets, info))
    assert len(spans) > 1
    pieces = [cut.cut(video, packets, info, span.first, span.count) for span in spans]
    (apart,) = prepare(pieces, spans, info, leaves, "largest", None, "ab" * 32).people
    (whole,) = look(video, leaves).people
    np.testing.assert_allclose(apart.places, whole.places, atol=0.1)
    np.testing.assert_allclose(apart.closed, whole.closed, atol=1e-3)
    assert apart.reach == pytest.approx(whole.reach, abs=1e-3)
    assert [kept.patch.planes[0].shape for kept in apart.memories] == [
        kept.patch.planes[0].shape for kept in whole.memories
    ]


def test_a_person_of_whom_nothing_is_known_is_as_others_are() -> None:
    basis = shipped_basis()
    few, many = np.array([0.2] * 7), np.linspace(0, 0.9, 40)
    assert _reach(few, basis) == pytest.approx(TYPICAL)
    for still in (0.1, 0.9):  # silent, with a closed mouth or an open one
        assert _reach(np.full(40, still), basis) == pytest.approx(TYPICAL)
    assert _reach(many, basis) == pytest.approx(np.quantile(many, 0.95))
    assert _reach(many * 4, basis) == pytest.approx(1.5 * TYPICAL)  # a yawn
    assert _reach(many * 0.45, basis) == pytest.approx(0.6 * TYPICAL)


def test_the_hash_and_the_option_are_kept(leaves: OnnxLeaves) -> None:
    video = film(portrait.frames(0.2, (128, 128)))
    info = probe.probe(video)
    source = prepare([video], [Span(0, info.frames)], info, leaves, "largest", None, "cd" * 32)
    assert (source.sha256, source.face) == ("cd" * 32, "largest")
    source.check(info, "largest")
    assert replace(source, people=()).to_bytes()
