"""What lies beside every exported graph: `manifest.json`, the account of where it came from.

The server's stage reads `weights` from it and puts that into every report.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal

import onnx
from pydantic import BaseModel, ConfigDict, ValidationError

from lipserve.errors import SetupError
from lipserve_export.fetch import sha256

NAME = "manifest.json"
VERSION = "1"

Precision = Literal["fp32", "fp16"]
FILES: dict[Precision, str] = {"fp32": "model.onnx", "fp16": "model.fp16.onnx"}


class File(BaseModel):
    """One graph of the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    precision: Precision
    sha256: str
    bytes: int


class Manifest(BaseModel):
    """The graphs of one leaf model.

    Attributes:
        weights: "random weights, seed N", or the file name and sha256 of every source.
        variant: which network is inside.
        parameters: learnt numbers of the network as published (BatchNorm unfolded).
        macs: multiplications of one item, a transposed convolution counted on its input grid.
        mel_offset_ms: of the mel window that a frame hears, against Wav2Lip's inference rule.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    weights: str
    variant: str
    parameters: int
    macs: int
    mel_offset_ms: float = 0.0
    files: tuple[File, ...] = ()


def folder(repository: Path, model: str) -> Path:
    """Return `<repository>/<model>/1`."""
    return repository / model / VERSION


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is either whole or absent, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write(repository: Path, manifest: Manifest, graphs: dict[Precision, onnx.ModelProto]) -> Path:
    """Write the graphs and their manifest into the repository and return their folder.

    TensorRT plans of other graphs that lie there are deleted: they would serve what was exported before.
    """
    target = folder(repository, manifest.model)
    files = []
    try:
        for precision, graph in graphs.items():
            data = graph.SerializeToString(deterministic=True)
            write_atomically(target / FILES[precision], data)
            files.append(
                File(name=FILES[precision], precision=precision, sha256=sha256(data), bytes=len(data))
            )
        complete = manifest.model_copy(update={"files": tuple(files)})
        _drop_plans(target, {file.sha256 for file in files})
        text = json.dumps(complete.model_dump(), indent=2, ensure_ascii=False) + "\n"
        write_atomically(target / NAME, text.encode())
    except OSError as error:
        raise SetupError(
            f"{target} cannot be written: {error.strerror}.", "Give another folder with -o."
        ) from error
    return target


def _drop_plans(target: Path, graphs: set[str]) -> None:
    for plan in target.glob("*.plan"):
        if not is_plan_of(plan, graphs):
            plan.unlink()
            plan.with_suffix(".json").unlink(missing_ok=True)


def is_plan_of(plan: Path, graphs: set[str]) -> bool:
    """Return whether a TensorRT plan, by the account beside it, was built of one of `graphs` (sha256)."""
    try:
        account = json.loads(plan.with_suffix(".json").read_bytes())
        return account["onnx_sha256"] in graphs and account["plan_sha256"] == sha256(plan.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read(repository: Path, model: str) -> Manifest:
    """Return the manifest of a leaf model, or raise SetupError."""
    path = folder(repository, model) / NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SetupError(
            f"{path}: {error.strerror}.", f"Run `lipserve-export all -o {repository}` first."
        ) from error
    except ValidationError as error:
        raise SetupError(f"{path} is not a manifest of this version.", "Export the model again.") from error
