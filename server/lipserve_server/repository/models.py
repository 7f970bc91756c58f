"""The model repository: its models, and its assembly from exported graphs, configuration and adapters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from lipserve.contracts import (
    DEFAULT_TIER,
    TIER_NAMES,
    Form,
    Model,
    TierName,
    leaves,
    leaves_of,
    models,
    of_tier,
)
from lipserve.errors import SetupError
from lipserve.tiers import TIERS
from lipserve_server.repository.manifest import GRAPH, read_form, read_manifest
from lipserve_server.repository.pbtxt import rendered


def template() -> Path:
    """Return the committed repository: the checkout's, or the installed package's own copy."""
    package = Path(__file__).resolve().parents[1]
    for path in (package.parents[1] / "model_repository", package / "model_repository"):
        if path.is_dir():
            return path
    raise SetupError(
        "The model repository's configuration is not installed.",
        "Reinstall with: pip install 'lipserve[server]'.",
    )


def missing_leaves(repository: Path, tier: TierName) -> list[str]:
    """Return the names of the leaf models of a tier whose graph the repository lacks.

    Raises:
        SetupError: its folders cannot be looked into.
    """
    try:
        return [leaf.name for leaf in leaves_of(tier) if not (repository / leaf.name / "1" / GRAPH).is_file()]
    except OSError as error:
        raise _unreadable(error, repository) from error


def _unreadable(error: OSError, repository: Path) -> SetupError:
    return SetupError(
        f"{error.filename or repository} cannot be read by the user {os.geteuid()}: {error.strerror}.",
        f"Let everybody read it: chmod -R a+rX {repository}.",
    )


def held_tiers(repository: Path) -> tuple[TierName, ...]:
    """Return the tiers that a repository can serve: those whose leaf models are all exported.

    Raises:
        SetupError: it can serve none, or cannot be read. What it lacks is told of the tier that lacks least.
    """
    missing = {tier: missing_leaves(repository, tier) for tier in TIER_NAMES}
    if not repository.is_dir():
        raise SetupError(
            f"There is no model repository at {repository}.",
            _remedy(repository, DEFAULT_TIER, ["face_detector"]),
        )
    held = tuple(tier for tier, names in missing.items() if not names)
    if not held:
        nearest = min(TIER_NAMES, key=lambda tier: len(missing[tier]))
        names = ", ".join(f"{name}/1/model.onnx" for name in missing[nearest])
        raise SetupError(
            f"The model repository {repository} lacks {names}.",
            _remedy(repository, nearest, missing[nearest]),
        )
    return held


def _remedy(repository: Path, tier: TierName, missing: list[str]) -> str:
    wanted = TIERS[tier]
    apart = "face_detector" in missing and not wanted.exports_faces
    faces = f"lipserve export faces -o {repository}; " if apart else ""
    return f"Export the models: {faces}{wanted.export} -o {repository}."


def held_models(repository: Path) -> tuple[Model, ...]:
    """Return the models that a repository can serve, the quality tier's leaves in the shapes they have here.

    Raises:
        SetupError: it can serve none, cannot be read, or its leaves were exported for different resolutions
            or widths.
    """
    tiers = held_tiers(repository)
    form = _common_form(repository) if any(TIERS[tier].has_forms for tier in tiers) else Form()
    names = {model.name for tier in tiers for model in of_tier(tier, form)}
    return tuple(model for model in models(form).values() if model.name in names)


def _common_form(repository: Path) -> Form:
    try:
        form = read_manifest(repository, "denoise_step").form
        for leaf in leaves(form):
            other = read_manifest(repository, leaf.name).form
            if other != form:
                raise SetupError(
                    f"{repository}: {leaf.name} was exported for {_describe(other)}, denoise_step for "
                    f"{_describe(form)}.",
                    f"Export the five together: lipserve export latentsync -o {repository}.",
                )
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise SetupError(
            f"{repository} contains a manifest.json that cannot be read: {reason}.",
            f"Export the models again: lipserve export latentsync -o {repository}.",
        ) from error
    except OSError as error:
        raise _unreadable(error, repository) from error
    return read_form(repository)


def _describe(form: Form) -> str:
    return f"{form.resolution} pixels and {form.channels} channels"


def write(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return  # so that a read-only repository that is already assembled can be served
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise SetupError(
            f"The repository cannot be completed: {path}: {error.strerror}.",
            "Free some space, or give a place that can be written.",
        ) from error


def assemble(destination: Path, plans: Mapping[str, str] = MappingProxyType({})) -> tuple[Model, ...]:
    """Lay configuration and adapters over a repository of exported graphs (`<leaf>/1/model.onnx`).

    Args:
        plans: of `pbtxt.config`.

    Files that are equal already are left alone; nothing else in `destination` is touched. Returns the models
    that can be served: those of the tiers whose graphs are all there.

    Raises:
        SetupError: that is none; see `held_models`.
    """
    held = held_models(destination)
    for name, text in rendered(held, plans).items():
        write(destination / name, text.encode())
    source = template()
    for model in held:
        adapter = Path(model.name) / "1" / "model.py"
        if model.kind != "ensemble":
            write(destination / adapter, (source / adapter).read_bytes())
    return held


def stale(root: Path) -> list[str]:
    """Return the rendered files that differ from those under `root`, or are missing there."""
    return [
        name
        for name, text in rendered().items()
        if not (root / name).is_file() or (root / name).read_text() != text
    ]
