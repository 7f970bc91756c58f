"""Which leaf models a repository holds: those of the tiers that were exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lipserve.contracts import (
    DEFAULT_TIER,
    FACE_LANDMARKS_106,
    FACE_LEAVES,
    PIPELINES,
    Form,
    Model,
    leaves,
    leaves_of,
)
from lipserve.errors import SetupError
from lipserve_export.graphs import manifest


def held(repository: Path) -> tuple[Model, ...]:
    """Return the contracts of a repository's leaf models, the quality tier's in the shapes they have there.

    A tier counts as held where one of its own leaves lies; where none does, the default one is looked for.

    Raises:
        SetupError: a leaf of a tier that is held, or one of the faces', is missing or has no manifest; or the
            quality tier's were exported for different resolutions or widths.
    """
    contracts: dict[str, Model] = {}
    for pipeline in PIPELINES.values():
        own = pipeline.leaves(Form())
        if any(manifest.folder(repository, model.name).is_dir() for model in own):
            contracts |= {model.name: model for model in (*FACE_LEAVES, *own)}
    contracts = contracts or {model.name: model for model in leaves_of(DEFAULT_TIER)}
    manifests = {name: manifest.read(repository, name) for name in contracts}
    forms = {model.name: manifests[model.name].form for model in leaves(Form()) if model.name in manifests}
    if forms:
        form = _common(repository, forms)
        if manifest.folder(repository, FACE_LANDMARKS_106.name).is_dir():
            form = replace(form, landmarks="106")
        contracts |= {model.name: model for model in leaves(form)}
    return tuple(contracts.values())


def _common(repository: Path, forms: dict[str, Form]) -> Form:
    if len(set(forms.values())) > 1:
        shapes = ", ".join(f"{name} {form.resolution} px / {form.channels}" for name, form in forms.items())
        raise SetupError(
            f"{repository}: the leaves of the quality tier were exported for different shapes: {shapes}.",
            f"Export the five together: lipserve export latentsync -o {repository}.",
        )
    return next(iter(forms.values()))
