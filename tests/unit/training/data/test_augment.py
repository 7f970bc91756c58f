from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve import align
from lipserve.media import decode, probe
from lipserve_training.data import augment, track
from lipserve_training.faces import FaceModels


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def stored(seed: int = 0) -> augment.Image:
    coarse = rng(seed).integers(0, 256, (20, 20, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_without_strength_the_middle_of_what_is_stored_comes_out() -> None:
    """The crop is 192 of the 256 pixels, two for each of its own: it is their mean."""
    expected = stored()[32:224, 32:224].reshape(96, 2, 96, 2, 3).astype(float).mean((1, 3))
    warp = augment.Warp(augment.NONE, rng())
    (found,) = warp.cut([stored()])
    assert np.abs(found - expected).max() <= 1
    np.testing.assert_array_equal(warp.cut_reference(stored()), found)
    np.testing.assert_array_equal(
        augment.recolour(found[None], augment.NONE, rng())[0], found / np.float32(255)
    )
    mel = rng().normal(0, 1, (3, 80, 16)).astype(np.float32)
    np.testing.assert_array_equal(augment.revoice(mel, augment.NONE, rng()), mel)


@pytest.mark.slow
def test_an_augmentation_without_strength_is_the_crop_of_the_server(
    shared_data: Callable[[str], Path], exported: Path
) -> None:
    for name, least in (("video/LipNet__lbax4n.mpg", 44.0), ("video/Syncnet_FCN__example.avi", 40.0)):
        path = shared_data(name)
        info = probe.probe(str(path))
        pictures = list(decode.read(str(path), info, 0, 8, threads=1))
        tracker = track.Tracker(FaceModels(exported), info.fps, Fraction(1), "largest", None)
        tracker.add(pictures, 0)
        exact = align.estimate(np.array(tracker.tracks[0].landmarks).astype(np.float32))
        wide = align.scale(track.wider(exact), track.CROP_SIZES[0], info.pixel_aspect)
        served = align.scale(exact, 96, info.pixel_aspect)
        for picture, big, small in zip(pictures, wide, served, strict=True):
            (cut,) = augment.Warp(augment.NONE, rng()).cut([align.crop(picture, big, track.CROP_SIZES[0])])
            assert cv2.PSNR(cut, align.crop(picture, small, 96)) > least


def test_the_same_seed_does_the_same_and_another_does_not() -> None:
    def once(seed: int) -> tuple[augment.Image, augment.Floats, augment.Mel]:
        strength, random = augment.Strength(), rng(seed)
        images = augment.Warp(strength, random).cut([stored(1), stored(2)])
        mel = np.zeros((2, 80, 16), np.float32)
        return images, augment.recolour(images, strength, random), augment.revoice(mel, strength, random)

    for one, same, other in zip(once(3), once(3), once(4), strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)


@pytest.mark.parametrize("seed", range(20))
def test_everything_stays_in_range(seed: int) -> None:
    strong = augment.Strength(colour=3, quality=1, voice=3, elastic=4, scale=0.3)
    images = augment.Warp(strong, rng(seed)).cut([stored(seed)])
    shown = augment.recolour(images, strong, rng(seed))
    assert (images.shape, images.dtype) == ((1, 96, 96, 3), np.uint8)
    assert (shown.shape, shown.dtype) == ((1, 96, 96, 3), np.float32)
    assert shown.min() >= 0
    assert shown.max() <= 1
    mel = rng(seed).uniform(-4, 4, (2, 80, 16)).astype(np.float32)
    heard = augment.revoice(mel, strong, rng(seed))
    assert (heard.shape, heard.dtype) == ((2, 80, 16), np.float32)
    assert np.abs(heard).max() <= 4


def test_a_mirrored_face_is_mirrored_with_its_reference() -> None:
    mirrored = augment.Strength(**{**vars(augment.NONE), "mirror": 1})
    warp = augment.Warp(mirrored, rng())
    (plain,) = augment.Warp(augment.NONE, rng()).cut([stored()])
    (found,) = warp.cut([stored()])
    assert np.abs(found[:, ::-1].astype(int) - plain).max() <= 1
    np.testing.assert_array_equal(warp.cut_reference(stored()), found)


def test_frames_are_warped_alike() -> None:
    images = augment.Warp(augment.Strength(), rng(5)).cut([stored(), stored()])
    np.testing.assert_array_equal(images[0], images[1])


def test_a_shift_moves_the_picture_by_its_pixels() -> None:
    shift = augment.Strength(**{**vars(augment.NONE), "shift": 3})
    moved = augment.Warp(shift, rng(2)).cut([stored()])[0].astype(np.float32).mean(2)
    plain = augment.Warp(augment.NONE, rng()).cut([stored()])[0].astype(np.float32).mean(2)
    (x, y), _ = cv2.phaseCorrelate(plain, moved, cv2.createHanningWindow((96, 96), cv2.CV_32F))
    drawn = expected_shift(2)
    assert (-x, -y) == pytest.approx(drawn, abs=0.3)


def expected_shift(seed: int) -> tuple[float, float]:
    """The two last of what an affine map draws after the coin for the mirror: deviation 3."""
    random = rng(seed)
    random.random()
    for _ in range(4):
        random.normal()
    return float(random.normal(0, 3)), float(random.normal(0, 3))


def alone(**strength: float) -> augment.Strength:
    return augment.Strength(**{**vars(augment.NONE), **strength})


def test_a_sharpened_picture_keeps_its_colours_and_gains_detail() -> None:
    soft = rng(3).integers(100, 156, (1, 96, 96, 3), np.uint8)  # away from black and white
    before = soft[0] / np.float32(255)
    (after,) = augment.recolour(soft, alone(sharp=1), rng(1))
    assert np.abs(after.mean((0, 1)) - before.mean((0, 1))).max() < 0.005
    gain = cv2.Laplacian(after, cv2.CV_32F).std() / cv2.Laplacian(before, cv2.CV_32F).std()
    assert 1.2 < gain < 2.5


def test_spots_are_the_same_in_every_picture_of_a_sample() -> None:
    grey = np.full((3, 96, 96, 3), 128, np.uint8)
    spotted = augment.recolour(grey, alone(spots=1), rng(2))
    np.testing.assert_array_equal(spotted[0], spotted[2])
    np.testing.assert_array_equal(spotted[..., 0], spotted[..., 2])
    assert 0.01 < np.log(spotted[0] / spotted[0].mean()).std() < 0.13


@pytest.mark.parametrize(
    ("hide", "rows"), [(augment.hide_lips, slice(62, 72)), (augment.hide_mouth, slice(62, 88))]
)
def test_a_smear_hides_what_it_says_and_nothing_else(
    hide: Callable[[augment.Floats], augment.Floats], rows: slice
) -> None:
    stripes = np.zeros((96, 96, 3), np.float32)
    stripes[::2] = 1
    found = hide(stripes)
    np.testing.assert_array_equal(found[:40], stripes[:40])
    np.testing.assert_array_equal(found[:, :18], stripes[:, :18])
    assert np.abs(found[rows, 44:52] - 0.5).max() < 0.05
