"""Windows from beginning to end: encoding, the whole loop of steps, decoding, as the generate stage does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.gpu.device import Device
from bench.gpu.ways import Run
from lipserve.contracts import Form
from lipserve.contracts.latentsync import AUDIO_ROWS, AUDIO_WIDTH, LATENT_CHANNELS, WINDOW
from lipserve.latentsync.denoise import denoise
from lipserve.latentsync.schedulers import schedule
from lipserve.options import Scheduler


@dataclass(frozen=True)
class Recipe:
    """A row of the goal table. All have guidance, both halves of which every step computes."""

    name: str
    scheduler: Scheduler
    steps: int
    deepcache: int

    @property
    def title(self) -> str:
        cache = f", DeepCache every {self.deepcache}" if self.deepcache > 1 else ""
        return f"{self.name}: {self.steps} {self.scheduler}{cache}"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("A", "ddim", 20, 1),
        Recipe("C", "ddim", 20, 3),
        Recipe("D", "dpm++", 10, 1),
        Recipe("E", "dpm++", 10, 2),
    )
}


class DeviceLeaves:
    """`lipserve.leaves.Leaves` whose arrays stay on the device, as between TensorRT engines."""

    def __init__(self, runs: Mapping[str, Run], device: Device) -> None:
        self._runs, self._device = runs, device

    def __call__(
        self, model: str, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> dict[str, Any]:
        return self._runs[model]({name: self._there(value) for name, value in inputs.items()})

    def _there(self, value: Tensor | NDArray[np.float32]) -> Tensor:
        return (value if isinstance(value, Tensor) else torch.from_numpy(value)).to(self._device.place)


def window(recipe: Recipe, runs: Mapping[str, Run], device: Device, form: Form) -> Callable[[], Tensor]:
    """Return what makes one window of 16 frames out of noise: pictures [16, 3, S, S]."""
    source = np.random.default_rng(0)
    leaves = DeviceLeaves(runs, device)
    steps = schedule(recipe.scheduler, recipe.steps)

    def normal(*shape: int) -> NDArray[np.float32]:
        return source.standard_normal(shape, dtype=np.float32)

    def there(values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(values).to(device.place)

    side, grid = form.resolution, form.grid
    noise = normal(1, LATENT_CHANNELS, WINDOW, grid, grid)
    pictures = {
        "IMAGES": there(normal(2 * WINDOW, 3, side, side).clip(-1, 1)),  # masked ones, then the references
        "NOISE": there(normal(2 * WINDOW, LATENT_CHANNELS, grid, grid)),
    }
    mask = there(np.ones((1, 1, WINDOW, grid, grid), np.float32))
    audio = there(normal(1, WINDOW, AUDIO_ROWS, AUDIO_WIDTH))

    def run() -> Tensor:
        encoded = leaves("vae_encoder", pictures)["LATENTS"]
        conditioning: dict[str, Any] = {
            "MASK": mask,
            "MASKED": encoded[:WINDOW].transpose(0, 1)[None],
            "REFERENCE": encoded[WINDOW:].transpose(0, 1)[None],
            "AUDIO": audio,
        }
        latents: Any = denoise(leaves, noise, conditioning, steps, 1.5, recipe.deepcache, lambda _: None)
        images: Tensor = leaves("vae_decoder", {"LATENTS": latents[0].transpose(0, 1)})["IMAGES"]
        return images

    return run
