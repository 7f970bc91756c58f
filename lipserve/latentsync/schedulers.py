"""Deterministic solvers of the diffusion equation as a table of coefficients, one row per step.

With x the latents, e the guided noise and a the cumulative product of alphas at a timestep,
x0 = (x - sqrt(1 - a) e) / sqrt(a), and both solvers are next = A x + B x0 + C previous_x0:

- DDIM with eta 0: J. Song et al., "Denoising Diffusion Implicit Models" (2021), equation 12.
- DPM-Solver++(2M), midpoint: C. Lu et al., "DPM-Solver++" (2022), algorithm 2.

Timesteps and ends are diffusers', for LatentSync's scheduler configuration: DDIM is spaced `leading` with an
offset of 1 and ends at the first training step's a; what DPMSolverMultistepScheduler.from_config makes of
the same configuration is spaced `linspace` (its own default, as the file names none) and ends without noise,
by a step of first order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipserve.options import Scheduler

TRAINING_STEPS = 1000
_BETAS = np.linspace(0.00085**0.5, 0.012**0.5, TRAINING_STEPS) ** 2
_A = np.cumprod(1 - _BETAS)
_OFFSET = 1


@dataclass(frozen=True, eq=False)
class Step:
    """One row: what TIMESTEP and COEFFICIENTS of a denoising step are.

    Attributes:
        timestep: 0 to 999.
        coefficients: float32 [5], (c0, c1, A, B, C): x0 = c0 x + c1 e; next = A x + B x0 + C previous_x0.
    """

    timestep: float
    coefficients: NDArray[np.float32]


def schedule(name: Scheduler, steps: int) -> list[Step]:
    """Return the rows of a solver, noisiest first.

    Args:
        steps: 1 to 500.
    """
    return _ddim(steps) if name == "ddim" else _dpm(steps)


def _step(timestep: int, a: float, b: float, c: float) -> Step:
    signal, noise = _A[timestep] ** 0.5, (1 - _A[timestep]) ** 0.5
    return Step(float(timestep), np.array((1 / signal, -noise / signal, a, b, c), np.float32))


def _ddim(steps: int) -> list[Step]:
    ratio = TRAINING_STEPS // steps
    rows = []
    for number in range(steps - 1, -1, -1):
        here = number * ratio + _OFFSET
        a, after = _A[here], _A[max(here - ratio, 0)]
        kept = ((1 - after) / (1 - a)) ** 0.5  # of x: the noise in it, scaled to that of the next
        rows.append(_step(here, kept, after**0.5 - kept * a**0.5, 0.0))
    return rows


def _dpm(steps: int) -> list[Step]:
    timesteps = np.linspace(0, TRAINING_STEPS - 1, steps + 1).round()[:0:-1].astype(int)
    signal = np.append(_A[timesteps], 1.0) ** 0.5  # the last is the end: no noise
    noise = np.append(1 - _A[timesteps], 0.0) ** 0.5
    ratios = noise / signal  # exp(-lambda) of the paper
    rows = []
    for number, timestep in enumerate(timesteps):
        kept = noise[number + 1] / noise[number]
        fresh = signal[number + 1] * (1 - ratios[number + 1] / ratios[number])
        slope = 0.0
        if 0 < number < steps - 1:
            before = np.log(ratios[number - 1] / ratios[number])
            slope = 0.5 * np.log(ratios[number] / ratios[number + 1]) / before
        rows.append(_step(int(timestep), kept, fresh * (1 + slope), -fresh * slope))
    return rows
