"""The training loop: seeded, averaged, logged, resumable."""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from lipserve.errors import InternalError, SetupError, StorageError
from lipserve_training.data import pool
from lipserve_training.train import checkpoint
from lipserve_training.train.recipe import Recipe, Run

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")
Placed = TypeVar("Placed", covariant=True)

_AHEAD = 4  # batches drawn while the network works


class Drawn(Protocol[Placed]):
    """A batch as it was drawn, wherever that was."""

    def to(self, device: torch.device) -> Placed:
        """Return what a task looks at, on its device."""


class Task(ABC, Generic[Batch]):
    """The training task: the network and its objective.

    Attributes:
        network: is trained, averaged and saved.
        companions: are trained along and left behind (adapters).
    """

    network: nn.Module
    companions: nn.ModuleDict

    @abstractmethod
    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted terms at a point of the run, 0..1; their sum is minimised."""

    @abstractmethod
    def sheet(self, batch: Batch, network: nn.Module) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """Return a picture [H, W, 3] RGB that shows what the averaged network makes of a batch."""

    def groups(self) -> list[list[nn.Parameter]]:
        """Return what is learnt, apart where gradients are held to a norm apart."""
        return [[*self.network.parameters(), *self.companions.parameters()]]

    def after_step(self, batch: Batch) -> dict[str, float]:
        """Do what follows a step (an adversary's own, say) and return what to log of it."""
        return {}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Return what to log of the averaged network on clips that are not trained on."""
        return {}

    def state(self) -> dict[str, object]:
        """Return the state for a checkpoint, beside the network and its companions."""
        return {}

    def load_state(self, state: dict[str, dict[str, object]]) -> None:
        """Take back what `state` returned, or raise KeyError."""
        if state:
            raise KeyError(*state)


def place(network: Network, device: torch.device) -> Network:
    """Return a network, moved to a device, in the memory format that is a quarter faster on either device."""
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return what lets CUDA compute in bfloat16 where that does no harm; a CPU goes on in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def learning_rate(run: Run, step: float) -> float:
    """Return the rate of a step: a linear rise, then a cosine down to `final_rate` of it."""
    if step < run.warmup:
        return run.learning_rate * (step + 1) / run.warmup
    progress = (step - run.warmup) / max(1, run.steps - run.warmup)
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return run.learning_rate * (run.final_rate + (1 - run.final_rate) * falling)


class Trainer(Generic[Batch]):
    """Runs a task to the end of its recipe, from where a checkpoint in `folder` left it.

    Args:
        draw: gives the batch of a step; it depends on seed and step only.
        workers: processes that draw; none: threads of this one.
        minutes: of work, after which the run ends wherever it is; the rate goes by the step or by the time,
            whichever is further on.
        clock: tells the seconds.
    """

    def __init__(
        self,
        task: Task[Batch],
        draw: Callable[[int], Drawn[Batch]],
        recipe: Recipe,
        folder: Path,
        device: torch.device,
        workers: int = 0,
        minutes: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task, self._draw, self._recipe = task, draw, recipe
        self._folder, self._device, self._workers = folder, device, workers
        self._seconds, self._clock, self._begun = 60 * minutes, clock, 0.0
        place(task.network, device)
        task.companions.to(device)
        self.average = copy.deepcopy(task.network).eval().requires_grad_(False)
        run = recipe.run
        groups = [{"params": group} for group in task.groups()]
        self._optimizer = torch.optim.AdamW(
            groups, lr=run.learning_rate, betas=run.betas, weight_decay=run.weight_decay
        )
        self.step = 0
        if checkpoint.exists(folder):
            self._restore()

    def run(self, on_step: Callable[[int, dict[str, float]], None]) -> None:
        """Train until the recipe's last step; a checkpoint is left behind however this ends.

        Args:
            on_step: called after every step with its number and its losses; what it raises ends the run.

        Raises:
            InternalError: a loss that is no number; the checkpoint is the last one before it.
            StorageError: the disk is full. SetupError: the folder cannot be written.
        """
        try:
            with SummaryWriter(str(self._folder / "curves"), purge_step=self.step) as writer:
                self._run(writer, on_step)
        except (InternalError, SetupError, StorageError):
            raise
        except OSError as error:  # of the curves: the checkpoint refuses by itself
            raise checkpoint.refusal(self._folder, error) from error
        except BaseException:
            self.save()
            raise
        self.save()

    def _run(self, writer: SummaryWriter, on_step: Callable[[int, dict[str, float]], None]) -> None:
        run = self._recipe.run
        with closing(self._batches()) as batches:
            for batch in batches:
                self._begun = self._begun or self._clock()
                if self._place() >= run.steps:
                    return
                logged = self._advance(batch)
                self.step += 1
                on_step(self.step, logged)
                if self.step % run.log_every == 0:
                    for name, value in logged.items():
                        writer.add_scalar(name, value, self.step)
                if self.step % run.save_every == 0 and self.step < run.steps:
                    self.save()
                    self._show(writer, batch)

    def _place(self) -> float:
        """Return where the rate is, in steps: where the run is, or further on where time runs out."""
        spent = (self._clock() - self._begun) / self._seconds
        return max(self.step, spent * self._recipe.run.steps)

    def save(self) -> None:
        """Write a checkpoint from which the run goes on."""
        checkpoint.write(
            self._folder,
            {
                "recipe": self._recipe.model_dump(mode="json"),
                "step": self.step,
                "network": self._task.network.state_dict(),
                "average": self.average.state_dict(),
                "companions": self._task.companions.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "task": self._task.state(),
            },
        )

    def _restore(self) -> None:
        held = checkpoint.read(self._folder, self._recipe)
        try:
            self._task.network.load_state_dict(held["network"])
            self.average.load_state_dict(held["average"])
            self._task.companions.load_state_dict(held["companions"])
            self._optimizer.load_state_dict(held["optimizer"])
            self._task.load_state(held["task"])
            self.step = held["step"]
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SetupError(
                f"{self._folder / checkpoint.NAME} is the checkpoint of another network.",
                "Give another folder with -o, or run the command that made the checkpoint.",
            ) from error

    def _advance(self, batch: Batch) -> dict[str, float]:
        run, place = self._recipe.run, self._place()
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(run, place)
        self._task.network.train()
        torch.manual_seed(int(np.random.SeedSequence((run.seed, self.step)).generate_state(1, np.uint64)[0]))
        with mixed_precision(self._device):
            terms = self._task.losses(batch, self.step / run.steps)
        total = torch.stack([term.float() for term in terms.values()]).sum()
        if not torch.isfinite(total):
            raise InternalError(
                f"The loss is {float(total.detach())} at step {self.step}.",
                "Train again in another folder, with a lower learning rate.",
            )
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        for group in self._optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], run.clip_norm)
        self._optimizer.step()
        self._follow()
        logged = {name: float(term.detach()) for name, term in terms.items()}
        return {**logged, **self._task.after_step(batch)}

    def _follow(self) -> None:
        """Move the average towards the network; early on it follows more closely."""
        decay = min(self._recipe.run.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            pairs = zip(
                self.average.state_dict().values(), self._task.network.state_dict().values(), strict=True
            )
            for held, now in pairs:
                if held.is_floating_point():
                    held.lerp_(now, 1 - decay)
                else:
                    held.copy_(now)

    def _batches(self) -> Generator[Batch, None, None]:
        """Yield a batch for every step that is left, drawn ahead."""
        steps, ahead = iter(range(self.step, self._recipe.run.steps)), max(_AHEAD, 2 * self._workers)
        with pool.drawing(self._draw, self._workers, 1 if self._device.type == "cpu" else _AHEAD) as submit:
            waiting: list[Future[Drawn[Batch]]] = []
            try:
                while True:
                    for step in steps:
                        waiting.append(submit(step))
                        if len(waiting) >= ahead:
                            break
                    if not waiting:
                        return
                    yield waiting.pop(0).result().to(self._device)
            finally:
                for future in waiting:
                    future.cancel()

    def _show(self, writer: SummaryWriter, batch: Batch) -> None:
        """Log a sheet of samples, and the figures of clips that are not trained on."""
        for name, value in self._task.validate(self.average).items():
            writer.add_scalar(name, value, self.step)
        image = self._task.sheet(batch, self.average)
        writer.add_image("sheet", image, self.step, dataformats="HWC")
        cv2.imwrite(str(self._folder / f"sheet-{self.step:06d}.jpg"), image[:, :, ::-1])
