from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import align
from lipserve.files.picture import VideoInfo
from lipserve.tracking import Track
from lipserve_training.data import track
from lipserve_training.data.track import scenes

Info = Callable[..., VideoInfo]


def face(x: float = 200.0, side: float = 100.0) -> NDArray[np.float64]:
    """A mesh [468, 3] whose rigid points lie as in the template, a fifth of the side deep."""
    mesh = np.random.default_rng(1).uniform(0, 1, (468, 3))
    mesh[list(align.RIGID_POINTS), :2] = align.TEMPLATE
    mesh[:, 2] = 0.2
    return mesh * side + [x, 150.0, 0.0]


def followed(where: list[float | None]) -> Track:
    """A track whose face lies at these x, or is lost."""
    out = Track(None)
    for x in where:
        out.add(None if x is None else face(x))
    return out


def no_cuts(frames: int) -> NDArray[np.bool_]:
    return np.zeros(frames, bool)


@pytest.mark.parametrize(
    "fps", [Fraction(30), Fraction(60), Fraction(25), Fraction(24), Fraction(30000, 1001)]
)
def test_a_frame_shows_the_middle_of_its_time(fps: Fraction, info: Info) -> None:
    frames = 4 * round(fps)
    (scene,) = scenes(followed([200.0] * frames), no_cuts(frames), info(fps, frames), 10**9)
    assert len(scene) == int(frames / fps * 25) == track.retimed(frames, info(fps, frames))
    for i, frame in enumerate(scene.frames):
        shown = Fraction(int(frame)) / fps
        assert shown <= Fraction(2 * i + 1, 50) < shown + 1 / fps


def test_a_cut_ends_a_scene_and_no_frame_looks_across(info: Info) -> None:
    cuts = no_cuts(180)
    cuts[[61, 120]] = True
    parts = list(scenes(followed([200.0] * 180), cuts, info(Fraction(30), 180), 10**9))
    assert [(scene.first, len(scene)) for scene in parts] == [(0, 50), (51, 49), (100, 50)]
    assert [(scene.frames.min(), scene.frames.max()) for scene in parts] == [(0, 59), (61, 119), (120, 179)]


def test_a_face_that_jumps_is_somebody_else(info: Info) -> None:
    where: list[float | None] = [200.0] * 50 + [None, None] + [400.0] * 50
    parts = list(scenes(followed(where), no_cuts(102), info(Fraction(25), 102), 10**9))
    assert [(scene.first, len(scene)) for scene in parts] == [(0, 50), (52, 50)]
    walked = [200.0 + 3 * i for i in range(100)]
    (scene,) = scenes(followed([*walked]), no_cuts(100), info(Fraction(25), 100), 10**9)
    assert len(scene) == 100


def test_a_flicker_is_bridged_and_a_longer_gap_is_not(info: Info) -> None:
    where: list[float | None] = [200.0] * 40 + [None] * 2 + [201.0] * 40 + [None] * 3 + [200.0] * 40
    parts = list(scenes(followed(where), no_cuts(125), info(Fraction(25), 125), 10**9))
    assert [(scene.first, len(scene)) for scene in parts] == [(0, 82), (85, 40)]
    assert np.isfinite(parts[0].transforms).all()


def test_a_long_scene_is_parted_evenly(info: Info) -> None:
    parts = list(scenes(followed([200.0] * 760), no_cuts(760), info(Fraction(25), 760), 750))
    assert [(scene.first, len(scene)) for scene in parts] == [(0, 380), (380, 380)]


def test_scenes_too_short_for_a_frame_at_25_fps_are_left_out(info: Info) -> None:
    cuts = no_cuts(60)
    cuts[[30, 31]] = True
    parts = list(scenes(followed([200.0] * 60), cuts, info(Fraction(60), 60), 10**9))
    assert [(scene.first, len(scene)) for scene in parts] == [(0, 12), (13, 12)]


def test_a_stretch_of_a_scene(info: Info) -> None:
    cuts = no_cuts(60)
    cuts[10] = True
    _, scene = scenes(followed([200.0 + i for i in range(60)]), cuts, info(Fraction(25), 60), 10**9)
    part = scene.between(20, 30)
    assert (part.first, len(part)) == (20, 10)
    np.testing.assert_array_equal(part.landmarks[0], scene.landmarks[10])
    assert (scene.between(0, 15).first, len(scene.between(0, 15))) == (10, 5)
    assert len(scene.between(-5, 100)) == 50
    assert len(scene.between(0, 5)) == 0


def test_meshes_are_in_sides_of_the_unit_crop_depth_too(info: Info) -> None:
    (scene,) = scenes(followed([200.0] * 40), no_cuts(40), info(Fraction(25), 40), 10**9)
    meshes = scene.meshes()
    assert (meshes.shape, meshes.dtype) == ((40, 468, 3), np.float32)
    np.testing.assert_allclose(meshes[7][list(align.RIGID_POINTS), :2], align.TEMPLATE, atol=1e-5)
    np.testing.assert_allclose(meshes[..., 2], 0.2, atol=1e-5)


@pytest.mark.parametrize(("side", "size"), [(60, 256), (192, 256), (240, 320), (264, 352), (900, 512)])
def test_a_stored_crop_is_as_dense_as_the_picture_within_limits(side: float, size: int, info: Info) -> None:
    track_ = Track(None)
    for _ in range(40):
        track_.add(face(300, side))
    (scene,) = scenes(track_, no_cuts(40), info(Fraction(25), 40), 10**9)
    assert scene.crop_size() == size


def test_the_wider_crop_holds_the_crop_in_its_middle() -> None:
    narrow = align.estimate(face()[None].astype(np.float32))
    wide = track.wider(narrow)
    corner, centre = np.array([0.0, 0.0]), np.array([0.5, 0.5])
    for unit, expected in ((corner, [0.125, 0.125]), (centre, [0.5, 0.5])):
        picture = np.linalg.solve(narrow[0, :, :2], unit - narrow[0, :, 2])
        np.testing.assert_allclose(wide[0, :, :2] @ picture + wide[0, :, 2], expected, atol=1e-5)
