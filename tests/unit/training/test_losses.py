from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from lipserve_training import losses


def test_sync_loss_of_pairs_in_sync_is_minus_the_logarithm() -> None:
    cosine = torch.tensor([0.9, 0.5, 0.1])
    expected = -(math.log(0.9) + math.log(0.5) + math.log(0.1)) / 3
    assert float(losses.sync_loss(cosine)) == pytest.approx(expected, rel=1e-6)


def test_sync_loss_of_both_kinds_is_the_binary_cross_entropy() -> None:
    cosine, together = torch.tensor([0.8, 0.3]), torch.tensor([1, 0])
    expected = -(math.log(0.8) + math.log(0.7)) / 2
    assert float(losses.sync_loss(cosine, together)) == pytest.approx(expected, rel=1e-6)


def test_a_cosine_of_zero_costs_a_hundred_and_has_a_gradient() -> None:
    cosine = torch.tensor([0.0, 1.0], requires_grad=True)
    loss = losses.sync_loss(cosine)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.detach().item() == 50
    assert cosine.grad is not None
    assert torch.isfinite(cosine.grad).all()
    assert cosine.grad[0] < 0


def test_a_cosine_that_is_no_number_gives_a_loss_that_is_none() -> None:
    assert losses.sync_loss(torch.tensor([0.5, torch.nan])).isnan()


def test_lower_halves_stack_the_frames_on_the_channels() -> None:
    frames = np.random.default_rng(0).random((2, 5, 3, 96, 96), np.float32)
    found = losses.lower_halves(torch.from_numpy(frames)).numpy()
    assert found.shape == (2, 15, 48, 96)
    for frame in range(5):
        for channel in range(3):
            assert np.array_equal(found[:, 3 * frame + channel], frames[:, frame, channel, 48:])


def test_ssim_equals_a_convolution_in_numpy() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 20, 24))
    at = np.arange(11) - 5
    row = np.exp(-(at**2) / (2 * 1.5**2))
    window = np.outer(row, row) / row.sum() ** 2

    def local(x: np.ndarray) -> np.ndarray:
        around = np.lib.stride_tricks.sliding_window_view(np.pad(x, 5), (11, 11))
        return np.asarray((around * window).sum((2, 3)))

    mean_a, mean_b = local(a), local(b)
    likeness = (2 * mean_a * mean_b + 1e-4) * (2 * (local(a * b) - mean_a * mean_b) + 9e-4)
    spread = local(a * a) - mean_a**2 + local(b * b) - mean_b**2 + 9e-4
    expected = likeness / ((mean_a**2 + mean_b**2 + 1e-4) * spread)
    pictures = [torch.from_numpy(x).float()[None, None] for x in (a, b)]
    found = losses.ssim(*pictures)[0, 0].numpy()
    assert np.abs(found - expected).max() < 1e-5
    assert float(losses.ssim_loss(*pictures)) == pytest.approx(1 - expected.mean(), abs=1e-6)


def test_texture_is_how_much_the_deviation_of_the_detail_differs() -> None:
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((1, 1, 48, 48)).astype(np.float32)
    faint, strong = (torch.from_numpy(0.5 + gain * noise) for gain in (0.02, 0.06))
    inside = torch.zeros(48, 48)
    inside[12:36, 12:36] = 4.0  # away from the borders, where zeros are no noise
    detail = noise[0, 0] - cv2.GaussianBlur(noise[0, 0], (11, 11), 1.5, borderType=cv2.BORDER_CONSTANT)
    spread = np.sqrt(cv2.GaussianBlur(detail**2, (11, 11), 1.5))[12:36, 12:36]
    expected = (np.sqrt((0.06 * spread) ** 2 + 1e-5) - np.sqrt((0.02 * spread) ** 2 + 1e-5)).mean()
    assert float(losses.texture_loss(faint, strong, inside)) == pytest.approx(expected, rel=1e-3)
    assert float(losses.texture_loss(strong, strong, inside)) == 0


def test_texture_asks_for_as_much_detail_and_not_for_the_same() -> None:
    rng = np.random.default_rng(3)
    one, other = (torch.from_numpy(0.5 + 0.05 * rng.standard_normal((1, 3, 96, 96))).float() for _ in "ab")
    even = torch.ones(96, 96)
    unlike = float(losses.texture_loss(one, other, even))
    smooth = float(losses.texture_loss(torch.full_like(one, 0.5), other, even))
    assert unlike < 0.25 * smooth


def test_texture_of_what_is_flat_has_a_gradient_that_is_finite() -> None:
    flat = torch.full((1, 1, 32, 32), 0.5, requires_grad=True)
    losses.texture_loss(flat, torch.rand(1, 1, 32, 32), torch.ones(32, 32)).backward()  # type: ignore[no-untyped-call]
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


def test_half_precision_around_them_changes_neither_ssim_nor_sync() -> None:
    a, b = torch.rand(2, 1, 3, 32, 32)
    cosine = torch.rand(4)
    alone = losses.ssim_loss(a, b), losses.sync_loss(cosine)
    with torch.autocast("cpu", torch.bfloat16):
        assert losses.ssim_loss(a, b) == alone[0]
        assert losses.sync_loss(cosine) == alone[1]
