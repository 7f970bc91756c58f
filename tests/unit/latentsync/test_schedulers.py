from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from lipserve.latentsync.schedulers import schedule

# scheduler_config.json of LatentSync, as it is.
CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
DIFFUSERS = {"ddim": DDIMScheduler, "dpm++": DPMSolverMultistepScheduler}


def theirs(name: Literal["ddim", "dpm++"], steps: int) -> Any:
    scheduler = DIFFUSERS[name].from_config(CONFIG)
    scheduler.set_timesteps(steps)
    return scheduler


@pytest.mark.parametrize("steps", [1, 2, 8, 10, 20, 25, 50])
@pytest.mark.parametrize("name", ["ddim", "dpm++"])
def test_every_step_is_that_of_diffusers(name: Literal["ddim", "dpm++"], steps: int) -> None:
    reference = theirs(name, steps)
    rows = schedule(name, steps)
    assert [row.timestep for row in rows] == reference.timesteps.tolist()
    source = np.random.default_rng(steps)
    x = expected = source.standard_normal(500)
    previous = np.full(500, 1e3)  # the first step must not look at it
    for number, row in enumerate(rows):
        e = source.standard_normal(500)
        made = reference.step(torch.from_numpy(e), reference.timesteps[number], torch.from_numpy(expected))
        expected = made.prev_sample.numpy()
        assert row.coefficients.dtype == np.float32
        c0, c1, a, b, c = row.coefficients.astype(np.float64)
        x0 = c0 * x + c1 * e
        x, previous = a * x + b * x0 + c * previous, x0
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_twenty_steps_of_ddim_are_the_published_ones() -> None:
    rows = schedule("ddim", 20)
    assert [row.timestep for row in rows] == list(range(951, 0, -50))
    alphas = [
        0.008155, 0.014005, 0.023077, 0.036546, 0.055719, 0.081917, 0.116325, 0.159816, 0.212782, 0.274999,
        0.345558, 0.422881, 0.504818, 0.588818, 0.672151, 0.752143, 0.826399, 0.892980, 0.950524, 0.998296,
    ]  # fmt: skip
    np.testing.assert_allclose([row.coefficients[0] ** -2 for row in rows], alphas, rtol=0, atol=1e-6)
    # From x = sqrt(a), which has no noise, to sqrt of the next a: in the end the first training step's.
    c0, _, a, b, c = rows[-1].coefficients.astype(np.float64)
    start = c0**-1
    assert (a * start + b * c0 * start) ** 2 == pytest.approx(0.99915, abs=1e-6)
    assert c == 0


def test_dpm_is_spaced_evenly_and_ends_without_noise() -> None:
    rows = schedule("dpm++", 20)
    assert [row.timestep for row in rows[:3]] == [999, 949, 899]
    assert [row.timestep for row in rows[-2:]] == [100, 50]
    np.testing.assert_array_equal(rows[-1].coefficients[2:], [0, 1, 0])
    assert rows[0].coefficients[4] == 0
    assert all(row.coefficients[4] < 0 for row in rows[1:-1])
