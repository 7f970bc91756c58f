"""What lies before a mouth is seen, and what a mouth does by itself is not mistaken for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.lipwarp.cover import BLANK, COVERED, Shown, alike, allowed, covered, difference
from lipserve.lipwarp.flow import lip_masks
from lipserve.lipwarp.mouths import MouthCropper, PreparedTracker
from lipserve.lipwarp.prepare import prepare
from lipserve.media import decode, probe
from lipserve.segments import Span
from lipserve.tracking import blocks
from lipserve_server.inside.leaves import OnnxLeaves
from tests.unit.lipwarp.people import points_in_crop

SKIN, LIPS = np.array([196, 150, 130]), np.array([165, 85, 90])


def face(opening: float = 0.0, light: float = 0.0, seed: int = 0, lips: NDArray[np.int64] = LIPS) -> Shown:
    """Return a face of skin that is round and lit from above, lips, and the dark inside of an open mouth."""
    points = points_in_crop((opening,))
    inner, outer = np.moveaxis(lip_masks(points).astype(np.float64) / 255, -1, 0)
    across, down = np.meshgrid(*[np.linspace(-1, 1, 96)] * 2)
    shade = (30 - 60 * down - 50 * across**2)[..., None]
    picture = SKIN + shade + light + np.random.default_rng(seed).normal(0, 3, (96, 96, 3))
    picture += outer[..., None] * (lips - SKIN)
    picture += inner[..., None] * (np.array([40, 15, 20]) - lips)
    return Shown(np.clip(picture, 0, 255).astype(np.uint8), points)


def blocked(mouth: Shown, colour: tuple[int, int, int] = (205, 152, 120), width: int = 60) -> Shown:
    """Return the face with something of that colour before its mouth."""
    crop = mouth.crop.copy()
    cv2.rectangle(crop, (48 - width // 2, 22), (48 + width // 2, 82), colour, -1)
    return Shown(crop, mouth.points)


def test_one_face_is_like_itself_however_it_opens_and_is_lit() -> None:
    for other in (face(0.5), face(1.0, seed=1), face(0.2, light=25.0), face(-0.1, light=-30.0)):
        assert difference(face(), other) < 0.12
        assert not covered(face(), [other])


@pytest.mark.parametrize("colour", [(205, 152, 120), (20, 20, 25), (240, 240, 240), (60, 90, 160)])
def test_something_before_the_mouth_covers_it(colour: tuple[int, int, int]) -> None:
    hidden = blocked(face(0.3), colour)
    remembered = [face(opening) for opening in (0.0, 0.4, 0.9)]
    assert covered(hidden, remembered)
    assert not covered(face(0.3, seed=2), remembered)


def test_one_mouth_that_is_alike_is_enough() -> None:
    hidden = blocked(face(0.3))
    assert not covered(hidden, [face(), hidden])
    assert covered(hidden, [])  # nobody to be like


def test_lips_stand_out_and_what_covers_them_does_not() -> None:
    assert face().contrast == pytest.approx(np.abs(LIPS - SKIN).max(), abs=8)
    assert blocked(face()).contrast < 1
    assert face(lips=SKIN).contrast < 6


def test_less_may_differ_where_no_lips_are_seen() -> None:
    assert allowed(face(0.5), face()) == COVERED
    assert allowed(blocked(face()), face()) == pytest.approx(BLANK, abs=0.01)
    half = face(lips=((LIPS - SKIN) * 0.25 + SKIN).astype(np.int64))
    assert BLANK + 0.04 < allowed(half, face()) < COVERED - 0.04


@pytest.mark.parametrize("hidden", [2, 5, 6])
def test_mouths_that_are_covered_are_left_out_also_where_they_are_the_half(hidden: int) -> None:
    plain = [face(opening, seed=number) for number, opening in enumerate(np.linspace(0, 0.9, 6))]
    mouths = [blocked(face(0.2, seed=20 + number)) for number in range(hidden)] + plain
    np.testing.assert_array_equal(alike(mouths), np.arange(hidden, len(mouths)))


def test_few_mouths_and_equal_ones_are_all_kept() -> None:
    np.testing.assert_array_equal(alike([face(), blocked(face())]), [0, 1])
    np.testing.assert_array_equal(alike([face()]), [0])
    np.testing.assert_array_equal(alike([face()] * 5), np.arange(5))


def test_somebody_without_lips_to_be_seen_is_still_somebody() -> None:
    """A beard, low light: nothing stands out, in no picture."""
    pale = [
        face(opening, seed=number, lips=SKIN) for number, opening in enumerate((0.0, 0.05, 0.1, 0.0, 0.02))
    ]
    np.testing.assert_array_equal(alike(pale), np.arange(5))
    assert not covered(pale[0], pale[1:])


def seen_covered(path: Path, leaves: OnnxLeaves, frames: int) -> tuple[NDArray[np.bool_], int]:
    """Return in which of the first frames the largest face's mouth is covered, and the number of rows."""
    info = probe.probe(path)
    count = min(frames, info.frames)
    source = prepare([path], [Span(0, count)], info, leaves, "largest", None)
    tracker = PreparedTracker(leaves, info, source, 0)
    cropper = MouthCropper(tracker, info, source, 0)
    for block in blocks(decode.read(path, info, 0, count, threads=1), 0):
        cropper.add(block)
    rows = cropper.rows(np.arange(count), Span(0, count))
    return cropper.covered, len(rows["FRAMES"])


@pytest.mark.slow
def test_a_hand_is_found_in_every_frame_that_it_is_in(
    shared_data: Callable[[str], Path], exported: Path
) -> None:
    """Frames 15 to 39 of 50; the mask fades over the frames beside them."""
    hidden, driven = seen_covered(shared_data("faults/hand.mp4"), OnnxLeaves(exported), 50)
    np.testing.assert_array_equal(np.flatnonzero(hidden), np.arange(15, 40))
    assert driven == 25


SAMPLE = [
    *("video/LipNet__bbaf2n.mpg", "video/LivePortrait__s13.mp4", "video/Syncnet_FCN__example.avi"),
    *("faults/bw.mp4", "faults/dark22.mp4", "faults/tiny_face.mp4"),
]
CLEAN = [
    *("video/LatentSync__demo1_video.mp4", "video/LipNet__lrwp9a.mpg", "video/LivePortrait__d18.mp4"),
    *("video/LiveTalking__demo.mp4", "video/PC-AVS__00104.mp4", "video/video-retalking__4.mp4"),
    *("video/SadTalker__WDA_AlexandriaOcasioCortez_000.mp4", "video/SadTalker__WDA_KatieHill_000.mp4"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SAMPLE, *(pytest.param(name, marks=pytest.mark.whole) for name in CLEAN)])
def test_a_mouth_that_nothing_covers_is_driven(
    shared_data: Callable[[str], Path], exported: Path, name: str
) -> None:
    hidden, driven = seen_covered(shared_data(name), OnnxLeaves(exported), 60)
    assert hidden.mean() <= 0.02
    assert driven >= 0.9 * len(hidden)
