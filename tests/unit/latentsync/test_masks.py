from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipserve.latentsync import masks


def runs(row: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last column of each black run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (row == 0).astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]


def test_the_mask_is_the_reference_s_to_the_pixel() -> None:
    mask = masks.mask(256)
    assert (mask.shape, mask.dtype, set(np.unique(mask))) == ((256, 256), np.uint8, {0, 255})
    assert (mask == 0).sum() == 26_673
    assert (mask[:95] == 255).all()
    assert (mask[243:] == 255).all()
    for row in (95, 110, 127):
        assert runs(mask[row]) == [(9, 77), (178, 246)]
    expected = {
        128: (9, 247), 134: (9, 247), 135: (9, 246), 148: (10, 246), 149: (10, 245), 162: (11, 245),
        163: (11, 244), 169: (12, 244), 175: (15, 241), 183: (19, 236), 186: (21, 234), 200: (33, 223),
        208: (40, 216), 209: (42, 215), 220: (57, 202), 234: (85, 175), 241: (108, 156), 242: (131, 152),
    }  # fmt: skip
    assert {row: runs(mask[row]) for row in expected} == {row: [run] for row, run in expected.items()}


def test_at_512_it_is_enlarged_with_its_ringing() -> None:
    mask = masks.mask(512)
    assert ((mask != 0) & (mask != 255)).sum() == 9_186
    assert abs((mask < 128).mean() - 0.4070) < 1e-4
    black = np.argwhere(mask < 128)
    assert black[:, 0].min() == 190
    assert black[:, 0].max() == 485
    ringing = bytes([255, 234, 150, 40, 0, 0, 7, 5, 0])
    assert any(ringing in row.tobytes() for row in mask)


def test_the_latent_mask_is_every_eighth_pixel() -> None:
    small, large = masks.latent_mask(256), masks.latent_mask(512)
    assert (small.shape, large.shape, small.dtype) == ((32, 32), (64, 64), np.float32)
    assert (small == 0).sum() == 422
    assert set(np.unique(small)) == {0, 1}
    assert (large < 0.5).sum() == 1678
    assert ((large != 0) & (large != 1)).sum() == 133
    np.testing.assert_array_equal(small, cv2.resize(masks.mask(256), (32, 32), interpolation=0) / 255)


@pytest.mark.parametrize("resolution", [256, 512])
def test_pictures_are_kept_where_the_mask_is_white_and_grey_where_it_is_black(resolution: int) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (2, resolution, resolution, 3), np.uint8)
    shown = masks.pixels(faces)
    assert shown.shape == (2, 3, resolution, resolution)
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown[1, 2], (faces[1, :, :, 2] / 255 - 0.5) / 0.5, atol=1e-6)
    keep = masks.mask(resolution) / 255
    hidden = masks.masked(shown, resolution)
    np.testing.assert_allclose(hidden, shown * keep, atol=1e-6)
    assert (hidden[..., keep == 0] == 0).all()


@pytest.mark.parametrize("resolution", [256, 512])
def test_a_composition_is_the_source_to_the_bit_where_it_is_kept(resolution: int) -> None:
    rng = np.random.default_rng(1)
    faces = rng.integers(0, 256, (2, resolution, resolution, 3), np.uint8)
    decoded = rng.normal(0, 1, (2, 3, resolution, resolution)).astype(np.float32)
    shown = masks.compose(decoded, masks.pixels(faces), resolution)
    keep = masks.mask(resolution)
    np.testing.assert_array_equal(shown[:, keep == 255], faces[:, keep == 255])
    whole = decoded.astype(np.float64).transpose(0, 2, 3, 1)
    generated = np.clip((whole + 1) * 127.5, 0, 255)[:, keep == 0]
    assert np.abs(shown[:, keep == 0] - generated).max() <= 0.5001
    share = (keep / 255)[..., None]
    mixed = np.clip((whole * (1 - share) + (faces / 127.5 - 1) * share + 1) * 127.5, 0, 255)
    assert np.abs(shown - mixed).max() <= 0.5001
