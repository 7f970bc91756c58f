"""The file `manifest.json` beside every exported graph: its origin, its checks, its files.

The server's stage reads `weights` from it and puts that into every report.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir import external_data
from pydantic import BaseModel, ConfigDict, ValidationError

from lipserve.contracts import Form, Framing
from lipserve.engine_store import Precision
from lipserve.errors import SetupError
from lipserve_export.fetch.files import file_sha256, write_atomically

NAME = "manifest.json"
VERSION = "1"

FILES: dict[Precision, str] = {"fp32": "model.onnx", "fp16": "model.fp16.onnx"}
DATA = ".data"
"""Behind a graph's name: the file of its weights, where they do not lie in the graph."""

_INLINE = 1024  # bytes; smaller values, shapes among them, stay in the graph
_PAGE = 4096  # bytes; where each weight begins, so that it can be mapped into memory


class File(BaseModel):
    """One graph of the folder, or a graph's weights."""

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
        framing: of the crops that the tier `wav2lip`'s generator knows.
        resolution, channels: of the quality tier's leaves, their `Form`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    weights: str
    variant: str
    parameters: int
    macs: int
    mel_offset_ms: float = 0.0
    framing: Framing | None = None
    resolution: int | None = None
    channels: int | None = None
    files: tuple[File, ...] = ()

    @property
    def form(self) -> Form:
        """The shapes of the quality tier's leaves."""
        whole = Form()
        return Form(self.resolution or whole.resolution, self.channels or whole.channels)

    @property
    def graphs(self) -> dict[Precision, File]:
        """The graphs, without the files of their weights."""
        return {file.precision: file for file in self.files if not file.name.endswith(DATA)}


def folder(repository: Path, model: str) -> Path:
    """Return `<repository>/<model>/1`."""
    return repository / model / VERSION


def write(
    repository: Path, manifest: Manifest, graphs: Mapping[Precision, onnx.ModelProto | ir.Model]
) -> Path:
    """Write the graphs and their manifest into the repository and return their folder.

    The weights of an `ir.Model` go into a file of their own, `<graph>.data`, one after the other: a whole
    UNet3D is more than a graph's file can hold. TensorRT plans of other graphs stay in the store: their key
    is another one, and a server of the release before may still need them.
    """
    target = folder(repository, manifest.model)
    files: list[File] = []
    try:
        for precision, graph in graphs.items():
            if isinstance(graph, ir.Model):
                files += _write_with_data(target, precision, graph)
            else:
                data = graph.SerializeToString(deterministic=True)
                write_atomically(target / FILES[precision], data)
                files.append(_file(target / FILES[precision], precision))
        complete = manifest.model_copy(update={"files": tuple(files)})
        content = complete.model_dump(exclude_none=True)
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_atomically(target / NAME, text.encode())
    except OSError as error:
        raise SetupError(
            f"{target} cannot be written: {error.strerror}.", "Give another folder with -o."
        ) from error
    return target


def _write_with_data(target: Path, precision: Precision, graph: ir.Model) -> list[File]:
    """Write a checked graph and its weights, both made in a folder of their own first."""
    name = FILES[precision]
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".unfinished-") as unfinished:
        made = Path(unfinished)
        stored = external_data.unload_from_model(
            graph.clone(),
            made,
            f"{name}{DATA}",
            size_threshold_bytes=_INLINE,
            alignment=_PAGE,
            align_threshold=_INLINE,
        )
        # In the graph, so that the graph's digest, which plans are known by, is of its weights as well.
        stored.metadata_props["data_sha256"] = file_sha256(made / f"{name}{DATA}")
        (made / name).write_bytes(ir.to_proto(stored).SerializeToString(deterministic=True))
        onnx.checker.check_model(made / name, full_check=True)
        for part in (f"{name}{DATA}", name):
            (made / part).replace(target / part)
    return [_file(target / name, precision), _file(target / f"{name}{DATA}", precision)]


def _file(path: Path, precision: Precision) -> File:
    return File(name=path.name, precision=precision, sha256=file_sha256(path), bytes=path.stat().st_size)


def read(repository: Path, model: str) -> Manifest:
    """Return the manifest of a leaf model, or raise SetupError."""
    path = folder(repository, model) / NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SetupError(
            f"{path}: {error.strerror}.",
            f"Run `lipserve export all -o {repository}` first, or `latentsync` of the quality tier.",
        ) from error
    except ValidationError as error:
        raise SetupError(f"{path} is not a manifest of this version.", "Export the model again.") from error
