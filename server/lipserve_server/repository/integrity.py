"""Hold the graphs of a repository to their manifests, before Triton loads them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from lipserve.digests import file_sha256
from lipserve.errors import SetupError
from lipserve_server.repository.manifest import GRAPH, read_manifest


def check_graphs(repository: Path, leaves: Iterable[str]) -> None:
    """Read every graph that ONNX Runtime will load, and its weights, and compare them with `manifest.json`.

    TensorRT's plans have records of their own: `engines.choose` holds them to these. What is read here lies
    in the page cache when the models are loaded.

    Raises:
        SetupError: a manifest is missing or names no graph, or a file is not the one that it tells of.
    """
    for leaf in leaves:
        folder = repository / leaf / "1"
        try:
            files = read_manifest(repository, leaf).files
        except (OSError, ValidationError) as error:
            raise _refused(repository, f"{folder / 'manifest.json'} cannot be read") from error
        loaded = [file for file in files if file.name in (GRAPH, f"{GRAPH}.data")]
        if GRAPH not in {file.name for file in loaded}:
            raise _refused(repository, f"{folder / 'manifest.json'} is missing, or names no {GRAPH}")
        for file in loaded:
            try:
                found = file_sha256(folder / file.name)
            except OSError as error:
                raise _refused(
                    repository, f"{folder / file.name} cannot be read: {error.strerror}"
                ) from error
            if found != file.sha256:
                raise _refused(
                    repository,
                    f"{folder / file.name} is damaged, or of another export: its sha256 is {found}, and its "
                    f"manifest.json tells {file.sha256}",
                )


def _refused(repository: Path, what: str) -> SetupError:
    return SetupError(
        f"{what}.",
        "Copy the model again with its manifest.json, or export it again: "
        f"lipserve export all -o {repository} (`latentsync` of the quality tier).",
    )
