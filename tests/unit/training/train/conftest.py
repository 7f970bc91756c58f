from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lipserve_training.data import augment, store
from lipserve_training.data.sampler import Batch, Sampler


@pytest.fixture(scope="session")
def sampler(dataset: Path) -> Sampler:
    return Sampler(dataset, store.read_index(dataset), augment.NONE)


@pytest.fixture
def batch(sampler: Sampler) -> Batch:
    """Five windows of five frames."""
    torch.manual_seed(11)
    return sampler.batch(5, 5, np.random.default_rng(3))


@pytest.fixture
def window(sampler: Sampler) -> Batch:
    """One window of five frames, for what costs much."""
    torch.manual_seed(11)
    return sampler.batch(1, 5, np.random.default_rng(3))
