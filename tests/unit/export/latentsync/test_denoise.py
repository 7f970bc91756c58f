"""The loop over the step's network, against UNet3D and diffusers' schedulers in plain PyTorch."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from lipserve.contracts.latentsync import Form, leaves
from lipserve.latentsync.denoise import denoise
from lipserve.latentsync.schedulers import Step, schedule
from lipserve_export.latentsync.denoise import DenoiseStep, DenoiseStepShallow
from lipserve_export.latentsync.unet3d import TINY, UNet3D, random_unet

Solver = Literal["ddim", "dpm++"]
CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
DIFFUSERS = {"ddim": DDIMScheduler, "dpm++": DPMSolverMultistepScheduler}
GRID = 4
# Every kind of layer: how deep a network is, a loop does not see.
FLAT = dataclasses.replace(TINY, block_out_channels=(8, 16))
CONTRACTS = {model.name: model for model in leaves(Form(GRID * 8, FLAT.block_out_channels[0]))}


class TorchLeaves:
    """The denoising leaves in this process, held to their contract."""

    def __init__(self, unet: UNet3D) -> None:
        self.networks = {"denoise_step": DenoiseStep(unet), "denoise_step_shallow": DenoiseStepShallow(unet)}
        self.calls: list[str] = []

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        self.calls.append(model)
        contract = CONTRACTS[model]
        assert inputs.keys() == {tensor.name for tensor in contract.inputs}
        for tensor in contract.inputs:
            assert inputs[tensor.name].shape[1:] == tensor.dims, tensor.name
            assert inputs[tensor.name].dtype == np.float32, tensor.name
        with torch.no_grad():
            made = self.networks[model](
                *(torch.from_numpy(np.ascontiguousarray(inputs[tensor.name])) for tensor in contract.inputs)
            )
        given = {}
        for tensor, value in zip(contract.outputs, made, strict=True):
            assert value.shape[1:] == tensor.dims, tensor.name
            if outputs is None or tensor.name in outputs:
                given[tensor.name] = value.numpy()
        return given


class NearlyTrained(UNet3D):
    """Sees the noise in its input, as a trained network does; what it adds of its own is random.

    A wholly random network leaves the noise in, and the solver drives latents to 40 instead of 4.
    """

    def with_features(self, sample: Tensor, timestep: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        noise, features = super().with_features(sample, timestep, audio)
        return 0.9 * sample[:, :4] + 0.3 * noise, features


@pytest.fixture(scope="module")
def unet() -> UNet3D:
    return random_unet(FLAT, 2).requires_grad_(False)


@pytest.fixture(scope="module")
def nearly_trained(unet: UNet3D) -> UNet3D:
    made = NearlyTrained(FLAT).requires_grad_(False).eval()
    made.load_state_dict(unet.state_dict())
    return made


def window(seed: int) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Noise that all frames share, and conditioning: pictures' latents with a hole, speech."""
    source = np.random.default_rng(seed)

    def normal(*shape: int) -> NDArray[np.float32]:
        return source.standard_normal(shape).astype(np.float32)

    mask = np.ones((1, 1, 16, GRID, GRID), np.float32)
    mask[..., 2:, 1:3] = 0
    noise = np.repeat(normal(1, 4, 1, GRID, GRID), 16, axis=2)
    return noise, {
        "MASK": mask,
        "MASKED": normal(1, 4, 16, GRID, GRID),
        "REFERENCE": normal(1, 4, 16, GRID, GRID),
        "AUDIO": normal(1, 16, 50, 384),
    }


def plain_loop(
    unet: UNet3D, seed: int, solver: Solver, steps: int, guidance: Sequence[float], interval: int = 1
) -> NDArray[Any]:
    """The published loop in the UNet's own precision, one item per guidance; DeepCache by a hook."""
    scheduler = DIFFUSERS[solver].from_config(CONFIG)
    scheduler.set_timesteps(steps)
    noise, conditioning = window(seed)
    count, dtype = len(guidance), unet.dtype
    latents, mask, masked, reference, audio = (
        torch.from_numpy(value).to(dtype).repeat(count, *[1] * (value.ndim - 1))
        for value in (noise, *conditioning.values())
    )
    strength = torch.tensor(guidance, dtype=dtype).reshape(-1, 1, 1, 1, 1)
    speech = torch.cat((torch.zeros_like(audio), audio))
    kept: dict[str, Tensor] = {}

    def cache(_module: torch.nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return kept.setdefault("features", output)

    handle = unet.up_blocks[-1].motion_modules[-2].register_forward_hook(cache)
    for number, timestep in enumerate(scheduler.timesteps):
        if number % interval == 0:
            kept.clear()
        sample = torch.cat((latents, mask, masked, reference), dim=1)
        noises = unet(torch.cat((sample, sample)), timestep.to(dtype).expand(2 * count), speech)
        without, heard = noises[:count], noises[count:]
        latents = scheduler.step(without + strength * (heard - without), timestep, latents).prev_sample
    handle.remove()
    return latents.numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "steps"),
    [
        ("ddim", 5),
        ("dpm++", 5),  # whose last step is of the first order, as it is below 15 steps
        ("dpm++", 15),
        *(pytest.param(solver, steps, marks=pytest.mark.whole) for solver in DIFFUSERS for steps in (10, 20)),
    ],
)
def test_the_loop_is_that_of_the_unet_and_diffusers_scheduler(
    nearly_trained: UNet3D, solver: Solver, steps: int
) -> None:
    guidance = (1.0, 1.5, 3.0)
    rows = schedule(solver, steps)
    leaves = TorchLeaves(nearly_trained)
    found = np.concatenate(
        [denoise(leaves, *window(3), rows, value, 1, lambda _step: None) for value in guidance]
    )
    single = plain_loop(nearly_trained, 3, solver, steps, guidance)
    double = plain_loop(copy.deepcopy(nearly_trained).double(), 3, solver, steps, guidance)
    assert 0.5 < double.std() < 2
    for expected in (single, double):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert np.abs(found[0] - found[2]).max() > 1


@pytest.mark.parametrize(("solver", "interval"), [("ddim", 3), ("dpm++", 2)])
def test_deepcache_keeps_the_reference_schedule(unet: UNet3D, solver: Solver, interval: int) -> None:
    noise, conditioning = window(4)
    torch_leaves = TorchLeaves(unet)
    seen: list[int] = []
    rows = schedule(solver, 10)
    found = denoise(torch_leaves, noise, conditioning, rows, 1.5, interval, seen.append)
    whole = [number for number, name in enumerate(torch_leaves.calls) if name == "denoise_step"]
    assert whole == list(range(0, 10, interval))
    assert seen == list(range(10))
    expected = plain_loop(unet, 4, solver, 10, [1.5], interval)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    every = denoise(TorchLeaves(unet), noise, conditioning, rows, 1.5, 1, lambda _step: None)
    assert np.abs(found - every).max() > 0.01  # the schedule is no empty word


def batch_inputs(seed: int, row: Step, guidance: float) -> dict[str, NDArray[np.float32]]:
    noise, conditioning = window(seed)
    return {
        "LATENTS": noise,
        "PREVIOUS_X0": np.flip(noise, 3).copy(),
        **conditioning,
        "TIMESTEP": np.array([[row.timestep]], np.float32),
        "GUIDANCE": np.array([[guidance]], np.float32),
        "COEFFICIENTS": row.coefficients[None],
    }


def test_items_at_other_steps_of_other_solvers_give_what_each_gives_alone(unet: UNet3D) -> None:
    torch_leaves = TorchLeaves(unet)
    items = [
        batch_inputs(5, schedule("ddim", 20)[2], 1.5),
        batch_inputs(6, schedule("dpm++", 10)[7], 3.0),
    ]
    alone = [torch_leaves("denoise_step", item) for item in items]
    both = torch_leaves(
        "denoise_step", {name: np.concatenate([item[name] for item in items]) for name in items[0]}
    )
    for number, made in enumerate(alone):
        for name, value in made.items():
            np.testing.assert_allclose(both[name][number], value[0], rtol=0, atol=1e-5 * np.abs(value).max())
    kept = [{**item, "FEATURES": made["FEATURES"]} for item, made in zip(items, alone, strict=True)]
    shallow = [torch_leaves("denoise_step_shallow", item) for item in kept]
    both = torch_leaves(
        "denoise_step_shallow", {name: np.concatenate([item[name] for item in kept]) for name in kept[0]}
    )
    for number, made in enumerate(shallow):
        # At the step that made the features, the last layer alone gives what the whole network gave.
        np.testing.assert_allclose(made["X0"], alone[number]["X0"], rtol=0, atol=1e-4)
        for name, value in made.items():
            np.testing.assert_allclose(both[name][number], value[0], rtol=0, atol=1e-5 * np.abs(value).max())


def test_the_unconditional_half_comes_first_and_hears_nothing(unet: UNet3D) -> None:
    inputs = batch_inputs(7, schedule("ddim", 20)[10], 0.0)
    torch_leaves = TorchLeaves(unet)
    deaf = torch_leaves("denoise_step", inputs)
    other = torch_leaves("denoise_step", {**inputs, "AUDIO": inputs["AUDIO"][:, ::-1]})
    np.testing.assert_array_equal(deaf["NEXT_LATENTS"], other["NEXT_LATENTS"])
    np.testing.assert_array_equal(deaf["FEATURES"][:, 0], other["FEATURES"][:, 0])
    assert np.abs(deaf["FEATURES"][:, 1] - other["FEATURES"][:, 1]).max() > 0.1
    silent = torch_leaves("denoise_step", {**inputs, "AUDIO": np.zeros_like(inputs["AUDIO"])})
    np.testing.assert_allclose(silent["FEATURES"][:, 0], silent["FEATURES"][:, 1], rtol=0, atol=1e-5)


def test_a_window_forgets_the_one_before(unet: UNet3D) -> None:
    torch_leaves = TorchLeaves(unet)
    rows = schedule("dpm++", 4)
    noise, conditioning = window(8)
    first = denoise(torch_leaves, noise, conditioning, rows, 1.5, 2, lambda _step: None)
    denoise(torch_leaves, *window(9), rows, 1.5, 2, lambda _step: None)
    again = denoise(torch_leaves, noise, conditioning, rows, 1.5, 2, lambda _step: None)
    np.testing.assert_array_equal(first, again)


def test_an_error_between_two_steps_ends_the_loop(unet: UNet3D) -> None:
    def cancel(step: int) -> None:
        if step == 2:
            raise InterruptedError

    torch_leaves = TorchLeaves(unet)
    with pytest.raises(InterruptedError):
        denoise(torch_leaves, *window(9), schedule("ddim", 5), 1.5, 1, cancel)
    assert len(torch_leaves.calls) == 2


@pytest.mark.parametrize("name", ["denoise_step", "denoise_step_shallow"])
def test_arguments_are_in_the_contract_s_order(unet: UNet3D, name: str) -> None:
    forward = TorchLeaves(unet).networks[name].forward
    expected = [tensor.name.lower() for tensor in CONTRACTS[name].inputs]
    assert list(inspect.signature(forward).parameters) == expected
