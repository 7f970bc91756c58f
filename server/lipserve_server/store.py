"""The model store of a pod: read-only, and assembled into a repository of links in the work directory.

<store>/<leaf>/1/{model.onnx, manifest.json, ...}    as `lipserve-export` writes it
<work>/repository/<model>/...                        links to that, configuration and adapters
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lipserve.contracts import LEAVES, Model, Profile
from lipserve.errors import SetupError
from lipserve_server import repository

_OWN = {"model.py", "__pycache__"}  # of a store that an embedded server has served: a pod writes its own


@dataclass(frozen=True)
class Engines:
    """The TensorRT engines that are served: the labels of `lipserve_engine_info`."""

    compute_capability: str  # sm80, say
    tensorrt: str  # 10.13.3, say
    key: str  # name of their folder in the store


@dataclass(frozen=True)
class Assembly:
    """A repository that Triton can serve.

    Attributes:
        models: that are served; others in the repository are not loaded.
        engines: of the profile tensorrt, None of the others.
    """

    repository: Path
    models: tuple[Model, ...]
    engines: Engines | None = None


def assemble(store: Path, work: Path, profile: Profile) -> Assembly:
    """Make `<work>/repository` anew of what `store` holds, and write nothing into the store.

    Raises:
        EngineError: the profile is tensorrt, and the store's engines are not of this machine or its graphs.
        SetupError: the store can serve no tier, or the work directory cannot be written.
    """
    target = work / "repository"
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _link_graphs(store, target)
    except OSError as error:
        raise SetupError(
            f"The work directory {work} cannot be written: {error.strerror}.",
            "Give a writable place with --work (a pod: an emptyDir).",
        ) from error
    return Assembly(target, repository.assemble(target))


def _link_graphs(store: Path, target: Path) -> None:
    for leaf in LEAVES:
        source = store / leaf.name / "1"
        if source.is_dir():
            folder = target / leaf.name / "1"
            folder.mkdir(parents=True)
            for path in source.iterdir():
                if path.name not in _OWN:
                    (folder / path.name).symlink_to(path.resolve())
