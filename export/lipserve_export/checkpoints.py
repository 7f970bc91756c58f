"""Read checkpoints in every form in which they are published, without running what is in them.

Wav2Lip's generators are read here, LatentSync's networks in `latentsync_checkpoints`.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from lipserve.contracts import Framing
from lipserve.errors import SetupError
from lipserve_export import torchscript
from lipserve_export.fetch import read_bytes, sha256
from lipserve_export.models.wav2lip import Variant, Wav2Lip

_FIRST = "face_encoder_blocks.0.0.conv_block.0.weight"
_WIDTHS = range(4, 65, 4)  # the compressed and the original generator have 4 and 16
_MAX_OFFSET_MS = 100  # a segment brings speech enough around it for that
_LISTED = 8  # keys named per kind of fault


def load_generator(path: Path) -> tuple[Wav2Lip, str]:
    """Return the generator that a checkpoint holds, in inference mode, and the file's sha256.

    Accepted: a bare state dict; a dict that holds one as `state_dict`, beside an optimiser's or not; a
    TorchScript archive, whose program is not run. `module.` prefixes are dropped. Loading is strict.

    Raises:
        SetupError: the file is none of these, or not a Wav2Lip generator, or does not fit key by key.
    """
    digest = sha256(read_bytes(path))
    state = read_state(path)
    model = Wav2Lip(_variant(state, path))
    check_keys(state, model.state_dict(), path, "the generator that its first layer announces")
    model.load_state_dict(state)
    return model.eval(), digest


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint in any of the forms of `load_generator`, on the CPU.

    Also of a safetensors file, and of a dict that holds one as `model_state_dict`. Large files are mapped
    into memory, not read: what does not fit is refused at once.

    Raises:
        SetupError: the file is none of these.
    """
    return _tensors(_read(path), path)


def read_mel_offset(path: Path, unnamed: float = 0.0) -> float:
    """Return `mel_offset_ms` of a checkpoint: how much earlier than at Wav2Lip's inference a frame hears.

    Args:
        unnamed: of a checkpoint that names none, as the public ones do: a generator's is 0.

    Raises:
        SetupError: no checkpoint; or the offset is no number of -200 to 200.
    """
    content = _read(path)
    offset = content.get("mel_offset_ms", unnamed) if isinstance(content, Mapping) else unnamed
    if not isinstance(offset, int | float) or not -_MAX_OFFSET_MS <= offset <= _MAX_OFFSET_MS:
        raise SetupError(
            f"{path}: its mel_offset_ms is {offset!r}.",
            f"It is a number of {-_MAX_OFFSET_MS} to {_MAX_OFFSET_MS}, 0 or -40 as a rule; save it again.",
        )
    return float(offset)


def read_framing(path: Path) -> Framing:
    """Return how the crops lie that a checkpoint's generator knows: its `framing`.

    Where it names none, `mel_offset_ms` tells of our own training, whose crops are aligned; without either it
    is a public checkpoint, which knows boxes.

    Raises:
        SetupError: no checkpoint; or the framing is none.
    """
    content = _read(path)
    marks: Mapping[str, Any] = content if isinstance(content, Mapping) else {}
    framing = marks.get("framing", "similarity" if "mel_offset_ms" in marks else "box")
    if framing not in get_args(Framing):
        raise SetupError(
            f"{path}: its framing is {framing!r}.",
            f"It is one of: {', '.join(get_args(Framing))}; save it again.",
        )
    return cast(Framing, framing)


def _read(path: Path) -> Any:
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
                "Where you trust it, re-save its state dict alone: "
                f"torch.save(torch.load(FILE, weights_only=False)['state_dict'], '{path.stem}.pth').",
            ) from error
        raise SetupError(
            f"{path} is not a PyTorch checkpoint, or is damaged.",
            "Download it, or make it, again: its size must be what its publisher states.",
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
            f"{path} holds no state dict: neither names with tensors, nor such under `state_dict`.",
            "Save it with torch.save(model.state_dict(), FILE).",
        )
    return {key.replace("module.", ""): value for key, value in content.items()}


def _variant(state: dict[str, Tensor], path: Path) -> Variant:
    first = state.get(_FIRST)
    fits = first is not None and first.ndim == 4 and first.shape[1:] == (6, 7, 7)
    if first is None or not fits or first.shape[0] not in _WIDTHS:
        found = f"{_FIRST} is {list(first.shape)}" if first is not None else f"it has no {_FIRST}"
        raise SetupError(
            f"{path} is not a generator of the Wav2Lip family at 96 pixels: {found}.",
            "Give wav2lip.pth, wav2lip_gan.pth or a compressed generator; the sync expert, the quality "
            "discriminator and the 256 or 288 pixel generators of other projects are different networks.",
        )
    residual = any(key.startswith("face_encoder_blocks.1.1.") for key in state)
    return Variant(width=int(first.shape[0]), residual=residual)


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
            "Give a whole checkpoint of it.",
        )
