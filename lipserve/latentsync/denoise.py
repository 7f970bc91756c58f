"""The loop of denoising steps over one window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.latentsync.schedulers import Step
from lipserve.leaves import Leaves


def denoise(
    leaves: Leaves,
    noise: NDArray[np.float32],
    conditioning: Mapping[str, NDArray[np.float32]],
    steps: Sequence[Step],
    guidance: float,
    deepcache: int,
    between: Callable[[int], None],
) -> NDArray[np.float32]:
    """Return the latents float32 [1, 4, 16, h, w] of one window, scaled as the VAE's leaves have them.

    All that a solver remembers begins here: windows do not know of each other.

    Args:
        noise: float32 [1, 4, 16, h, w], of the first step.
        conditioning: MASK [1, 1, 16, h, w], MASKED and REFERENCE [1, 4, 16, h, w], AUDIO [1, 16, 50, 384].
        guidance: 1 is none.
        deepcache: interval of whole steps: 0, n, 2n, ...; those between compute the last layer alone.
            1 makes every step whole.
        between: called with a step's number before it; what it raises ends the loop.
    """
    latents, previous = noise, np.zeros_like(noise)
    features: dict[str, Any] = {}
    for number, step in enumerate(steps):
        between(number)
        inputs = {
            "LATENTS": latents,
            "PREVIOUS_X0": previous,
            **conditioning,
            "TIMESTEP": np.array([[step.timestep]], np.float32),
            "GUIDANCE": np.array([[guidance]], np.float32),
            "COEFFICIENTS": step.coefficients[None],
        }
        wanted = ["NEXT_LATENTS", "X0"]
        if number % deepcache:
            made = leaves("denoise_step_shallow", {**inputs, **features}, outputs=wanted)
        else:
            kept = ["FEATURES"] if deepcache > 1 else []
            made = leaves("denoise_step", inputs, outputs=wanted + kept)
            features = {name: made[name] for name in kept}
        latents, previous = made["NEXT_LATENTS"], made["X0"]
    return latents
