from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lipserve.lipwarp.flow import warped
from lipserve_training.data import store
from lipserve_training.lipwarp.compose import compose, sample
from lipserve_training.lipwarp.pairs import Batch, Pairs
from lipserve_training.lipwarp.recipes import RendererRecipe


@pytest.fixture(scope="module")
def batch(dataset: Path) -> Batch:
    settings = RendererRecipe.model_validate({"run": {"steps": 1, "pairs": 2}})
    return Pairs(dataset, store.read_index(dataset), settings)(0).to(torch.device("cpu"))


class Says(nn.Module):
    """A renderer that says the same of everything."""

    def __init__(self, flow: float = 0, memory: float = 0, paint: float = 0) -> None:
        super().__init__()
        self.told = flow, memory, paint

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flow, memory, paint = self.told
        count, size = len(x), x.shape[-1]
        shares = torch.tensor([memory, paint])[None, :, None, None].expand(count, 2, size, size)
        return torch.full((count, 4, 48, 48), flow), shares, torch.full((count, 3, 48, 48), 0.25)


def made(batch: Batch, **told: float) -> Tensor:
    return compose(Says(**told), batch).picture  # type: ignore[arg-type]


def test_tensors_are_moved_as_the_stage_moves_pictures() -> None:
    rng = np.random.default_rng(2)
    picture = cv2.resize(rng.integers(0, 256, (20, 20, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
    flow = cv2.resize(rng.normal(0, 4, (6, 6, 2)).astype(np.float32), (48, 48), interpolation=cv2.INTER_CUBIC)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    moved = sample(tensor, torch.from_numpy(flow).permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    assert np.abs(moved.numpy() - warped(picture, flow)).max() < 5  # OpenCV moves by 1/32 of a pixel
    assert np.abs(moved.numpy() - warped(picture, flow)).mean() < 0.6


def test_each_source_alone_is_unchanged(batch: Batch) -> None:
    assert float((made(batch) - batch.moved).abs().max()) < 0.02
    assert float((made(batch, paint=1) - 0.25).abs().max()) < 1e-6
    remembered = (made(batch, memory=1) - batch.memory).abs()
    inside = (batch.memory > 0.01) & (
        batch.memory < 0.99
    )  # what the network is shown is cut at black and white
    assert float(remembered[inside].max()) < 0.02


def test_shares_mix_the_memory_first_and_then_the_paint(batch: Batch) -> None:
    current, memory = made(batch), made(batch, memory=1)
    expected = 0.7 * (0.6 * current + 0.4 * memory) + 0.3 * 0.25
    assert torch.allclose(made(batch, memory=0.4, paint=0.3), expected, atol=1e-6)


def test_a_flow_that_is_added_moves_the_picture_by_pixels(batch: Batch) -> None:
    still = Batch(**{**vars(batch), "flows": torch.zeros_like(batch.flows)})
    moved = made(still, flow=2.0)
    assert torch.allclose(moved[..., :-2, :-2], still.current[..., 2:, 2:], atol=1e-5)
