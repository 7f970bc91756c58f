"""Checkpoint of a run: one file, replaced atomically, from which the run continues."""

from __future__ import annotations

import errno
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipserve.errors import SetupError, StorageError
from lipserve_export.fetch.files import write_atomically
from lipserve_training.train.recipe import Precision, Recipe

NAME = "checkpoint.pt"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def exists(folder: Path) -> bool:
    """Return whether a run has been here."""
    return (folder / NAME).exists()


def write(folder: Path, state: dict[str, Any], name: str = NAME) -> Path:
    """Write a checkpoint, whole or not at all, and return its path.

    Raises:
        StorageError: the disk is full. SetupError: the folder cannot be written. What was there before stays.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = folder / name
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise refusal(path, error) from error
    return path


def refusal(path: Path, error: OSError) -> StorageError | SetupError:
    """Return the error for a file of a run that cannot be written."""
    what = f"{path} cannot be written: {error.strerror}."
    if error.errno in _FULL:
        return StorageError(
            what, "Free some space, and run the same command again: it continues from the last checkpoint."
        )
    return SetupError(what, "Give a folder that can be written with -o.")


def rounded(state: dict[str, Tensor], precision: Precision) -> dict[str, Tensor]:
    """Return weights on the CPU, as they are to be kept; what is no float stays what it is."""
    kind = {"float16": torch.float16, "float32": torch.float32}[precision]
    return {
        key: value.cpu().to(kind if value.is_floating_point() else value.dtype)
        for key, value in state.items()
    }


def read(folder: Path, recipe: Recipe | None = None) -> dict[str, Any]:
    """Return a run's checkpoint, made with the same recipe save for the number of steps.

    Raises:
        SetupError: it cannot be read, or is of another recipe.
    """
    path = folder / NAME
    try:
        held: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        before = type(recipe).model_validate(held["recipe"]) if recipe else None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.PickleError) as error:
        raise SetupError(
            f"{path} is not a checkpoint of a run, or is damaged.", "Give another folder with -o."
        ) from error
    if recipe and before and _without_steps(before) != _without_steps(recipe):
        raise SetupError(
            f"{path} was made with another recipe.",
            "Give another folder with -o, or the recipe of that checkpoint.",
        )
    return held


def _without_steps(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(exclude={"run": {"steps", "save_every", "log_every", "saved"}})
