from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lipserve.errors import SetupError
from lipserve_training.models import lpips

EVEN = np.ones((60, 70), np.float32)


@pytest.fixture(scope="module")
def published() -> lpips.Lpips:
    path = lpips.weights()
    if path is None:
        pytest.skip(f"{lpips.PACKAGE} is not installed")
    return lpips.load(path)


@pytest.fixture(scope="module")
def random() -> lpips.Lpips:
    """The network with seeded random weights: its arithmetic is the same."""
    torch.manual_seed(4)
    network = lpips.Lpips()
    for name, values in network.state_dict().items():
        values.copy_(torch.rand_like(values) / values[0].numel() if "lin" in name else values)
    for buffer in network.buffers():
        buffer.fill_(0.5)
    for module in network.modules():
        if isinstance(module, lpips.LowPass):
            line = torch.tensor([0.25, 0.5, 0.25])
            module.get_buffer("filt").copy_((line[:, None] * line).expand_as(module.get_buffer("filt")))
    return network.eval().requires_grad_(False)


def pictures(count: int = 1, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (count, 60, 70, 3), np.uint8)
    return np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in noise])


def distance(network: lpips.Lpips, a: np.ndarray, b: np.ndarray, mask: np.ndarray = EVEN) -> list[float]:
    return network(network.features(a), network.features(b), mask).tolist()


def test_equal_pictures_are_no_distance_apart_and_others_are(random: lpips.Lpips) -> None:
    one, other = pictures(2), pictures(2, seed=1)
    assert distance(random, one, one) == [0, 0]
    found = distance(random, one, other)
    assert min(found) > 0
    assert distance(random, other, one) == pytest.approx(found)


def test_pixels_outside_of_the_mask_do_not_count(random: lpips.Lpips) -> None:
    one = pictures()
    other = one.copy()
    other[:, :, :8] = 0
    right = EVEN.copy()
    right[:, :48] = 0
    assert distance(random, one, other, 1 - right)[0] > 20 * distance(random, one, other, right)[0]


def test_the_low_pass_halves_and_keeps_what_is_even() -> None:
    layer = lpips.LowPass(2)
    line = torch.tensor([0.25, 0.5, 0.25])
    layer.get_buffer("filt").copy_((line[:, None] * line).expand(2, 1, 3, 3))
    ramp = torch.arange(9.0).expand(1, 2, 7, 9)
    out = layer(ramp)
    assert out.shape == (1, 2, 5, 6)
    np.testing.assert_allclose(out[0, 0, 2], [1, 1, 3, 5, 7, 7])  # mirrored at 0 and 8, every second from -1


def test_the_distance_is_the_published_one(published: lpips.Lpips) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 90, 123, 3), dtype=np.uint8)
    one = np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in noise])
    found = distance(published, one, np.roll(one, 3, 2), np.ones((90, 123), np.float32))
    assert found == pytest.approx([0.13130, 0.12667], abs=2e-4)  # what the package's own code gives


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer": torch.zeros(1)}, path)
    with pytest.raises(SetupError, match="ST-LPIPS"):
        lpips.load(path)
