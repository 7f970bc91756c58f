"""What Whisper hears in the tiny dataset, once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipserve_training.data import store
from lipserve_training.lipwarp import footage, hearing
from lipserve_training.lipwarp.footage import Footage
from lipserve_training.lipwarp.hearing import Heard
from lipserve_training.lipwarp.recipes import MotionRecipe

TRAINED = 3  # of the four clips: ann's two and ben's


@pytest.fixture(scope="session")
def clips(dataset: Path) -> list[Footage]:
    return [footage.read(dataset, entry, pictures=False) for entry in store.read_index(dataset)]


@pytest.fixture(scope="session")
def recipe() -> MotionRecipe:
    return MotionRecipe.model_validate(
        {
            "run": {"steps": 4, "stretches": 2, "frames": 10, "warmup": 2, "log_every": 1, "save_every": 2},
            "data": {"hold_out": ["cid"]},
            "losses": {"gap": 1.0},
            "hearing": {"variants": 1, "speeds": 1, "sounds": 8},
        }
    )


@pytest.fixture(scope="session")
def heard(dataset: Path, clips: list[Footage], recipe: MotionRecipe) -> Heard:
    return hearing.hear(clips, TRAINED, recipe.hearing, recipe.run.seed, dataset, lambda: None)
