"""Reader of checkpoints in all published forms; nothing in them is executed."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from lipserve.errors import SetupError
from lipserve_export.fetch import torchscript

_LISTED = 8  # keys named per kind of fault


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint on the CPU.

    Accepted: a bare state dict; a dict that holds one as `state_dict`, beside an optimiser's or not; a
    TorchScript archive, whose program is not run. `module.` prefixes are dropped.

    Also of a safetensors file, and of a dict that holds one as `model_state_dict`. Large files are mapped
    into memory, not read: what does not fit is refused at once.

    Raises:
        SetupError: the file is none of these.
    """
    return _tensors(content(path), path)


def content(path: Path) -> Any:
    """Return the content of a checkpoint with everything beside its tensors: usually a dict.

    Raises:
        SetupError: the file is no checkpoint, or holds code.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates the old forms that are read here
            if torchscript.is_torchscript(path):
                return torchscript.read(path)
            if _is_safetensors(path):
                return safetensors.torch.load_file(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except OSError as error:
        raise SetupError(
            f"{path}: {error.strerror or error}.", "Give the path of a file that can be read."
        ) from error
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        AttributeError,
        pickle.PickleError,
        SafetensorError,
    ) as error:
        if "GLOBAL" in str(error):  # the name of a function or class that the file asks for
            raise SetupError(
                f"{path} holds more than tensors, so reading it would run code from the file.",
                "If you trust it, save only its state dict: "
                f"torch.save(torch.load(FILE, weights_only=False)['state_dict'], '{path.stem}.pth').",
            ) from error
        raise SetupError(
            f"{path} is not a PyTorch checkpoint, or is damaged.",
            "Download or make it again, and compare its size with the size that its publisher states.",
        ) from error


def _is_safetensors(path: Path) -> bool:
    """Tell by the content: the length of a header, then the header, which is JSON."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for name in ("state_dict", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    named = isinstance(content, Mapping) and all(isinstance(key, str) for key in content)
    if not named or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise SetupError(
            f"{path} holds no state dict: neither tensors by name, nor such a dict under `state_dict`.",
            "Save it with torch.save(model.state_dict(), FILE).",
        )
    return {key.replace("module.", ""): value for key, value in content.items()}


def check_keys(state: dict[str, Tensor], wanted: dict[str, Tensor], path: Path, network: str) -> None:
    """Check that a file's state dict is that of `network`, as the message calls it: names, shapes, finite.

    Raises:
        SetupError: it is not; each key that does not fit is named, up to a few of a kind.
    """
    faults = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unexpected": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {list(state[key].shape)}, expected {list(wanted[key].shape)}"
            for key in sorted(state.keys() & wanted.keys())
            if state[key].shape != wanted[key].shape
        ],
    }
    if not any(faults.values()):  # this reads every value: gigabytes
        faults["not finite"] = [
            key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()
        ]
    lines = [
        f"{len(keys)} {kind}: {', '.join(keys[:_LISTED])}{', ...' if len(keys) > _LISTED else ''}"
        for kind, keys in faults.items()
        if keys
    ]
    if lines:
        raise SetupError(
            f"{path} does not fit {network}:\n  " + "\n  ".join(lines) + "\n",
            "Give a complete checkpoint of that network.",
        )
