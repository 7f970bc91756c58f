"""The networks that come with LipServe: file format of weights/, reading and writing.

A file holds the state dict of one network in half precision, as safetensors, and in its metadata what made it
(its `recipe` and `steps`, or its `source`). `lipserve export` takes `weights/<leaf>.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from lipserve.errors import SetupError
from lipserve_export.fetch.files import file_sha256, write_atomically
from lipserve_export.fetch.states import check_keys, read_state

_Network = TypeVar("_Network", bound=nn.Module)


def save(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a state dict, its floating point values rounded to half precision.

    The file is whole or absent. Equal values and metadata give equal bytes.

    Raises:
        SetupError: a value is beyond half precision, or not finite; or the file cannot be written.
    """
    halved = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in state.items()
    }
    beyond = [name for name, value in halved.items() if not value.isfinite().all()]
    if beyond:
        raise SetupError(
            f"{path.name} was not written: not finite in half precision are {', '.join(beyond)}.",
            "The training has diverged: train again, or continue from an earlier checkpoint.",
        )
    try:
        write_atomically(path, _described(safetensors.torch.save(halved), metadata))
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.", "Give another path.") from error


def _described(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file with metadata in its header: the library's own come in any order."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(data[8:start])}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that what follows lies where it may be mapped into memory
    return len(text).to_bytes(8, "little") + text + data[start:]


def load(path: Path, network: _Network) -> tuple[_Network, str]:
    """Return the network with a file's values, in inference mode and float32, and the file's sha256.

    Raises:
        SetupError: the file cannot be read, or does not fit the network key by key.
    """
    state = read_state(path)
    check_keys(state, network.state_dict(), path, f"the network {type(network).__name__}")
    network.load_state_dict({name: _full(value) for name, value in state.items()})
    return network.eval().requires_grad_(False), file_sha256(path)


def _full(value: Tensor) -> Tensor:
    return value.to(torch.float32) if value.is_floating_point() else value
