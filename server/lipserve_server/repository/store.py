"""The model store of a pod: read-only, assembled into a repository of links in the work folder.

<store>/<leaf>/1/{model.onnx, manifest.json, ...}    as `lipserve export` writes it
<store>/engines/<key>/<leaf>/{model.plan, ...}       as `lipserve export engines` writes it
<work>/repository/<model>/...                        links to these, configuration and adapters
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lipserve.contracts import EVERY_MODEL, Model, Profile
from lipserve.engine_store import EngineKey
from lipserve.errors import SetupError
from lipserve_server.repository import engines, models
from lipserve_server.repository.integrity import check_graphs

_OWN = {"model.py", "__pycache__"}  # of a store that an embedded server has served: a pod writes its own


@dataclass(frozen=True)
class Assembly:
    """A repository for Triton.

    Attributes:
        models: that are served; others in the repository are not loaded.
        engines: of the profile tensorrt, one for each kind of GPU here; none of the other profiles.
    """

    repository: Path
    models: tuple[Model, ...]
    engines: tuple[EngineKey, ...] = ()


def check(store: Path, profile: Profile, machine: engines.Machine | None = None) -> tuple[EngineKey, ...]:
    """Hold a store to its own manifests and records; nothing is written.

    Returns the engines to serve: of the profile tensorrt one for each kind of GPU, of the others none.

    Args:
        machine: that the engines have to fit; None is this one.

    Raises:
        EngineError: the profile is tensorrt, and the store's engines are not of this machine or its graphs.
        SetupError: the store can serve no tier, or a graph is not its manifest's.
    """
    leaves = [model.name for model in models.held_models(store) if model.kind == "leaf"]
    if profile == "tensorrt":
        return engines.choose(store, machine or engines.this_machine(), leaves)
    check_graphs(store, leaves)
    return ()


def assemble(store: Path, work: Path, profile: Profile, machine: engines.Machine | None = None) -> Assembly:
    """Rebuild `<work>/repository` from `store`; nothing is written into the store.

    Args:
        machine: as in `check`.

    Raises:
        SetupError: the store does not pass `check`, or the work directory cannot be written.
    """
    target = work / "repository"
    chosen = check(store, profile, machine)
    try:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        _link_graphs(store, target)
        _link_plans(store, target, chosen)
    except OSError as error:
        raise SetupError(
            f"The work directory {work} cannot be written: {error.strerror}.",
            "Give a folder that can be written with --work (in a pod: an emptyDir).",
        ) from error
    return Assembly(target, models.assemble(target, engines.filenames(chosen)), chosen)


def _link_graphs(store: Path, target: Path) -> None:
    for leaf in (model for model in EVERY_MODEL.values() if model.kind == "leaf"):
        source = store / leaf.name / "1"
        if source.is_dir():
            folder = target / leaf.name / "1"
            folder.mkdir(parents=True)
            for path in source.iterdir():
                if path.name not in _OWN:
                    (folder / path.name).symlink_to(path.resolve())


def _link_plans(store: Path, target: Path, chosen: Sequence[EngineKey]) -> None:
    for key, folder in product(chosen, list(target.iterdir())):
        plan = key.plan(store, folder.name)
        if plan.is_file():
            (folder / "1" / engines.link_name(key)).symlink_to(plan.resolve())
