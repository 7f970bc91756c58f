"""Tasks from a recipe and files; combinations that do not fit are refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from lipserve.errors import SetupError
from lipserve_export.wav2lip.checkpoints import load_generator, read_mel_offset
from lipserve_export.wav2lip.network import Wav2Lip
from lipserve_training.data.sampler import TRAINING_OFFSET_MS, Batch
from lipserve_training.models.discriminator import Discriminator
from lipserve_training.models.expert import Expert, load_expert
from lipserve_training.models.vgg import load_vgg, random_vgg
from lipserve_training.train import student
from lipserve_training.train.distil import DistilledStudent
from lipserve_training.train.expert import ExpertTask
from lipserve_training.train.loop import place
from lipserve_training.train.recipe import GeneratorRecipe
from lipserve_training.train.teacher import Teacher
from lipserve_training.train.windows import WINDOW, WindowTask

Kind = Literal["expert", "teacher", "student"]

_VGG = {"feature", "style"}
_DISTILLED = {"channel", "teacher_ssim", "tv"} | _VGG


@dataclass(frozen=True)
class Files:
    """Checkpoints that a task builds on; `init` is the generator that the run begins with."""

    expert: Path | None = None
    teacher: Path | None = None
    vgg: Path | None = None
    init: Path | None = None


def check(kind: Kind, recipe: GeneratorRecipe, files: Files) -> None:
    """Refuse what cannot be trained as it is asked for.

    Raises:
        SetupError: a term that this kind of training does not know, or a file that is missing or of no use.
    """
    terms = recipe.losses.terms
    foreign = {"expert": terms, "teacher": terms & _DISTILLED, "student": terms & {"adversarial"}}[kind]
    if foreign:
        raise SetupError(
            f"The recipe gives weight to {', '.join(sorted(foreign))}, which the {kind} does not use.",
            "Use another recipe, or another command of `lipserve train`.",
        )
    if kind == "expert":
        if "residual" in recipe.network.model_fields_set:
            raise SetupError("The expert always has residual layers.", "Leave network.residual out.")
        if recipe.run.frames < 2 * WINDOW:
            raise SetupError("The expert compares windows of 5 frames.", "Set run.frames to 10 or more.")
        return
    if not terms:
        raise SetupError("Every term of [losses] is zero.", "Give at least one term a weight.")
    _check_file("expert", files.expert, terms & {"sync"})
    _check_file("teacher", files.teacher, terms & _DISTILLED)
    if files.vgg:
        _check_file("vgg", files.vgg, terms & _VGG)


def build(
    kind: Kind,
    recipe: GeneratorRecipe,
    files: Files,
    device: torch.device,
    held_out: Sequence[Batch],
    say: Callable[[str], None],
) -> WindowTask:
    """Return the task, fresh; its random numbers are torch's.

    Args:
        held_out: batches of people that are not trained on, for the expert's figures.

    Raises:
        SetupError: a file is not what it should be.
    """
    if kind == "expert":
        return ExpertTask(Expert(recipe.network.width), held_out)
    expert = None
    if files.expert:
        _check_offset(files.expert, recipe, TRAINING_OFFSET_MS)
        expert = place(load_expert(files.expert), device)
    network = student.build(recipe.network)
    if files.init:
        _begin_with(network, files.init, recipe)
    if kind == "teacher":
        adversary = place(Discriminator(), device) if recipe.losses.adversarial else None
        return Teacher(network, recipe, expert, adversary)
    if files.teacher is None:
        return student.Student(network, recipe.losses, expert)
    _check_offset(files.teacher, recipe, recipe.data.mel_offset_ms)
    teacher = place(load_generator(files.teacher)[0], device)
    vgg = None
    if recipe.losses.feature or recipe.losses.style:
        vgg = place(load_vgg(files.vgg) if files.vgg else random_vgg(recipe.run.seed), device)
        say(f"features of VGG-16: {vgg.source}")
    return DistilledStudent(network, recipe.losses, teacher, vgg, expert)


def _begin_with(network: Wav2Lip, path: Path, recipe: GeneratorRecipe) -> None:
    """Load the weights of another run's result into a network."""
    _check_offset(path, recipe, recipe.data.mel_offset_ms)
    begun, _ = load_generator(path)
    if begun.variant != network.variant:
        raise SetupError(
            f"{path} contains a generator of another size than that of the recipe.",
            "Set network.width and network.residual to its values, or give another file.",
        )
    network.load_state_dict(begun.state_dict())


def _check_file(name: str, path: Path | None, terms: set[str]) -> None:
    listed = ", ".join(sorted(terms))
    if terms and path is None:
        raise SetupError(
            f"The recipe gives weight to {listed}, which needs --{name}.", f"Give --{name} FILE."
        )
    if path is not None and not terms:
        raise SetupError(
            f"--{name} has no effect: no term of the recipe uses it.",
            f"Leave --{name} out, or add a term.",
        )


def _check_offset(path: Path, recipe: GeneratorRecipe, unnamed: float) -> None:
    """Refuse a network that hears another moment; a file that names no offset has `unnamed`."""
    found, wanted = read_mel_offset(path, unnamed), recipe.data.mel_offset_ms
    if found != wanted:
        raise SetupError(
            f"{path} was trained with a mel_offset_ms of {found:g}, the recipe has {wanted:g}.",
            f"Set data.mel_offset_ms to {found:g}, or give another file.",
        )
