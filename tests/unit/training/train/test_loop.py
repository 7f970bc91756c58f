"""A run's course: resumed, interrupted, diverged."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lipserve.errors import InternalError, SetupError
from lipserve_export.wav2lip.network import Variant, Wav2Lip
from lipserve_training.data.sampler import Batch, Sampler
from lipserve_training.models import discriminator
from lipserve_training.models.discriminator import Discriminator
from lipserve_training.models.expert import Expert
from lipserve_training.train import checkpoint
from lipserve_training.train.distil import DistilledStudent
from lipserve_training.train.expert import ExpertTask
from lipserve_training.train.loop import Trainer
from lipserve_training.train.recipe import GeneratorRecipe
from lipserve_training.train.student import Student
from lipserve_training.train.teacher import Teacher
from lipserve_training.train.windows import Windows, WindowTask

CPU = torch.device("cpu")
RUN = {"steps": 4, "frames": 5, "warmup": 2, "log_every": 1, "save_every": 2}
WEIGHTS = {"l1": 1.0, "sync": 0.1, "sync_from": 0.5}
LOSSES: dict[str, dict[str, float]] = {
    "expert": {},
    "student": WEIGHTS,
    "teacher": {**WEIGHTS, "adversarial": 0.07},
    "distilled": {**WEIGHTS, "channel": 10, "teacher_ssim": 1},
}


def recipe(kind: str) -> GeneratorRecipe:
    run = {**RUN, "frames": 10} if kind == "expert" else RUN
    return GeneratorRecipe.model_validate({"run": run, **({"losses": LOSSES[kind]} if LOSSES[kind] else {})})


def task(kind: str) -> WindowTask:
    torch.manual_seed(7)
    settings, network = recipe(kind), Wav2Lip(Variant(4, False))
    if kind == "expert":
        return ExpertTask(Expert(0.25))
    if kind == "student":
        return Student(network, settings.losses, Expert(0.25))
    if kind == "teacher":
        return Teacher(network, settings, Expert(0.25), adversary())
    return DistilledStudent(network, settings.losses, Wav2Lip(Variant(8, False)), None, Expert(0.25))


def adversary() -> Discriminator:
    """An eighth as wide as the public one: a run's course does not ask for its 14 million parameters."""
    blocks = tuple(
        tuple(replace(layer, inputs=max(3, layer.inputs // 8), outputs=layer.outputs // 8) for layer in block)
        for block in discriminator._BLOCKS
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discriminator, "_BLOCKS", blocks)
        return Discriminator()


def trainer(
    own: WindowTask, sampler: Sampler, settings: GeneratorRecipe, folder: Path, workers: int = 0
) -> Trainer[Batch]:
    return Trainer(own, Windows(own, sampler, settings.run), settings, folder, CPU, workers)


def stop_after(step: int) -> Callable[[int, dict[str, float]], None]:
    def on_step(at: int, logged: dict[str, float]) -> None:
        if at == step:
            raise KeyboardInterrupt

    return on_step


def go_on(step: int, logged: dict[str, float]) -> None:
    assert logged


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize(
    "kind", ["expert", "student", "distilled", pytest.param("teacher", marks=pytest.mark.slow)]
)
def test_a_resumed_run_ends_with_the_very_weights_of_one_that_never_stopped(
    kind: str, sampler: Sampler, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trainer(task(kind), sampler, recipe(kind), whole).run(go_on)
    with pytest.raises(KeyboardInterrupt):
        trainer(task(kind), sampler, recipe(kind), parts).run(stop_after(3))
    torch.manual_seed(99)
    resumed = trainer(task(kind), sampler, recipe(kind), parts)
    assert resumed.step == 3
    resumed.run(go_on)
    expected, found = checkpoint.read(whole), checkpoint.read(parts)
    assert expected["step"] == 4
    for part in expected:
        assert same(expected[part], found[part]), part
    assert (whole / "sheet-000002.jpg").exists()


def test_the_checkpoint_of_another_network_is_refused(sampler: Sampler, tmp_path: Path) -> None:
    settings = recipe("student")
    trainer(task("student"), sampler, settings, tmp_path).save()
    other = Student(Wav2Lip(Variant(8, False)), settings.losses, Expert(0.25))
    with pytest.raises(SetupError, match="another network"):
        trainer(other, sampler, settings, tmp_path)


def test_the_checkpoint_of_another_recipe_is_refused_but_not_for_its_steps(
    sampler: Sampler, tmp_path: Path
) -> None:
    settings = recipe("student")
    trainer(task("student"), sampler, settings, tmp_path).save()
    longer = settings.model_copy(update={"run": settings.run.model_copy(update={"steps": 9})})
    assert trainer(task("student"), sampler, longer, tmp_path).step == 0
    faster = settings.model_copy(update={"run": settings.run.model_copy(update={"learning_rate": 0.5})})
    with pytest.raises(SetupError, match="another recipe"):
        trainer(task("student"), sampler, faster, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no checkpoint"])
def test_a_damaged_checkpoint_is_refused(sampler: Sampler, tmp_path: Path, content: bytes) -> None:
    (tmp_path / checkpoint.NAME).write_bytes(content)
    with pytest.raises(SetupError, match="damaged"):
        trainer(task("student"), sampler, recipe("student"), tmp_path)


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(sampler: Sampler, tmp_path: Path) -> None:
    run = trainer(task("student"), sampler, recipe("student"), tmp_path)

    def spoil(step: int, logged: dict[str, float]) -> None:
        if step == 3:
            with torch.no_grad():
                next(iter(run._task.network.parameters())).fill_(float("nan"))

    with pytest.raises(InternalError, match="nan at step 3"):
        run.run(spoil)
    held = checkpoint.read(tmp_path)
    assert held["step"] == 2
    assert all(value.isfinite().all() for value in held["network"].values())


def test_a_run_ends_with_its_time_and_its_rate_falls_until_then(sampler: Sampler, tmp_path: Path) -> None:
    """A clock that goes on by 12 seconds whenever it is asked: ten minutes are over before 1000 steps."""
    settings = recipe("student")
    long = settings.model_copy(
        update={"run": settings.run.model_copy(update={"steps": 1000, "save_every": 999})}
    )
    own, ticks = task("student"), itertools.count(1000.0, 12.0)
    draw = Windows(own, sampler, long.run)
    run = Trainer(own, draw, long, tmp_path, CPU, minutes=10, clock=lambda: next(ticks))
    rates: list[float] = []
    run.run(lambda *_: rates.append(run._optimizer.param_groups[0]["lr"]))
    assert len(rates) == run.step == 25  # two looks at the clock a step
    assert rates[0] > 30 * rates[-1]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert checkpoint.read(tmp_path)["step"] == 25
