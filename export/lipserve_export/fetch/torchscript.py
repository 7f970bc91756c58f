"""Read the tensors of a TorchScript archive as data: nothing of the program in it is compiled or run.

`torch.jit.load` runs a module's `__setstate__`, which a file brings along, and which can write files. The
archive is a zip: `data.pkl` is a pickle of modules as plain attributes, `data/` holds the tensors' bytes.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lipserve.errors import SetupError

_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}  # fmt: skip
_MAX_MODULES = 100_000
_MAX_PICKLE = 64 << 20  # bytes of `data.pkl`: it names tensors, and holds none
_MAX_TENSOR = 1 << 34  # bytes


def is_torchscript(path: Path) -> bool:
    """Return whether a file is such an archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of an archive's modules, by the names that a state dict gives them.

    Raises:
        SetupError: it is damaged, or its modules are not plain attributes: only running it would tell.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            with io.BytesIO(_stored(archive, name, _MAX_PICKLE)) as file:
                return _named(_Reader(file, archive, name.removesuffix(".pkl")).load())
    except (pickle.UnpicklingError, TypeError, AttributeError) as error:
        raise SetupError(
            f"{path} holds more than tensors in modules, so reading it would run its program.",
            "If you trust it, save only its state dict: "
            f"torch.save(torch.jit.load(FILE).state_dict(), '{path.stem}.pth').",
        ) from error
    except (ValueError, LookupError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise SetupError(
            f"{path} is not a TorchScript archive, or is damaged.", "Download or make it again."
        ) from error


def _stored(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member's bytes, which lie in the archive as they are: small files stay small."""
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > most:
        raise ValueError(f"{name} is compressed, or too large")
    return archive.read(name)


class _Module:
    """An object of the archive: attributes, and no code."""


class _Reader(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file, encoding="utf-8")
        self._archive = archive
        self._folder = folder
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return a harmless stand-in for a class, except for an empty dictionary."""
        if module == "__torch__" or module.startswith("__torch__."):
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("collections", "OrderedDict"): OrderedDict,
            **{
                ("torch.jit._pickle", f"build_{kind}list"): list
                for kind in ("int", "double", "bool", "tensor")
            },
            ("torch.jit._pickle", "restore_type_tag"): lambda value, tag: value,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the bytes of a tensor, of one dimension."""
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"{kind} is no storage")
        if key not in self._storages:
            data = bytearray(_stored(self._archive, f"{self._folder}/{key}", _MAX_TENSOR))
            self._storages[key] = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _named(root: Any) -> dict[str, Tensor]:
    if not isinstance(root, _Module):
        raise pickle.UnpicklingError("the whole is no module")
    found: dict[str, Tensor] = {}
    waiting = [("", root)]
    for _ in range(_MAX_MODULES):
        if not waiting:
            return found
        prefix, module = waiting.pop()
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, _Module):
                waiting.append((f"{prefix}{name}.", value))
    raise pickle.UnpicklingError("too many modules, or one that holds itself")
