"""Training examples of Wav2Lip's networks: consecutive frames of clips, with their mel."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from lipserve_training.data.sampler import Batch, Sampler
from lipserve_training.train.loop import Task
from lipserve_training.train.recipe import GeneratorRun

WINDOW = 5  # frames that the expert looks at together


class WindowTask(Task[Batch]):
    """A task that looks at windows of frames."""

    @abstractmethod
    def window(self, progress: float) -> int:
        """Return how many consecutive frames a sample needs at this point of the run, 0..1."""


class Windows:
    """Draws a task's batches from a sampler."""

    def __init__(self, task: WindowTask, sampler: Sampler, run: GeneratorRun) -> None:
        self._task, self._sampler, self._run = task, sampler, run

    def __call__(self, step: int) -> Batch:
        frames = self._task.window(step / self._run.steps)
        rng = np.random.default_rng((self._run.seed, step))
        return self._sampler.batch(self._run.frames // frames, frames, rng)
