"""Model names, tensor names, dtypes and shapes: the one place.

The configuration of every model in `model_repository/` is rendered from here, the exporters give their
graphs these signatures, and the client asks for these names.

Axes: N crops (one per output frame and face), F frames, B batch, n samples.
"""

from __future__ import annotations

from itertools import zip_longest

from lipserve.contracts.faces import (
    DETECTOR_SIZE,
    FACE_DETECTOR,
    FACE_LANDMARKS,
    FACE_LEAVES,
    MAX_DETECTIONS,
    MESH_POINTS,
    MESH_SIZE,
)
from lipserve.contracts.form import Form, Landmarks
from lipserve.contracts.latentsync import FACE_LANDMARKS_106, LATENTSYNC, REFERENCE_POINTS, leaves
from lipserve.contracts.lipwarp import LIPWARP
from lipserve.contracts.pipeline import Pipeline
from lipserve.contracts.spec import (
    DEFAULT_TIER,
    MEL_BINS,
    NUMPY,
    PROFILES,
    SAMPLE_RATE,
    TIER_NAMES,
    Dtype,
    Kind,
    Model,
    Profile,
    Step,
    Tensor,
    TierName,
)
from lipserve.contracts.wav2lip import MEL_COLUMNS, WAV2LIP, WAV2LIP_GENERATOR, WAV2LIP_SIZE, Framing

PIPELINES = {pipeline.tier: pipeline for pipeline in (LIPWARP, WAV2LIP, LATENTSYNC)}


def models(form: Form = Form()) -> dict[str, Model]:  # noqa: B008 (a frozen value)
    """Return every model by its name, in the order of a request's way; some leaves' shapes follow `form`."""
    pipelines = PIPELINES.values()
    own = (model for pipeline in pipelines for model in pipeline.leaves(form))
    stages = (model for row in zip_longest(*(p.stages for p in pipelines)) for model in row if model)
    ensembles = (pipeline.ensemble for pipeline in pipelines)
    return {model.name: model for model in (*FACE_LEAVES, *own, *stages, *ensembles)}


def leaves_of(tier: TierName, form: Form = Form()) -> tuple[Model, ...]:  # noqa: B008 (a frozen value)
    """Return the leaves that a tier's requests call: those that find faces, and its own."""
    return (*FACE_LEAVES, *PIPELINES[tier].leaves(form))


def of_tier(tier: TierName, form: Form = Form()) -> tuple[Model, ...]:  # noqa: B008 (a frozen value)
    """Return the models that a tier's requests pass through: leaves, stages in order, the ensemble."""
    return (*leaves_of(tier, form), *PIPELINES[tier].stages, PIPELINES[tier].ensemble)


MODELS = models()
EVERY_MODEL = models(Form(landmarks="106"))
"""Those of a full repository, and the one that only a user can supply."""

LEAVES = tuple(model for model in MODELS.values() if model.kind == "leaf")
STAGES = tuple(model for model in MODELS.values() if model.kind == "stage")
ENSEMBLES = tuple(model for model in MODELS.values() if model.kind == "ensemble")

__all__ = [
    "DEFAULT_TIER", "DETECTOR_SIZE", "ENSEMBLES", "EVERY_MODEL", "FACE_DETECTOR", "FACE_LANDMARKS",
    "FACE_LANDMARKS_106", "FACE_LEAVES", "LEAVES", "MAX_DETECTIONS", "MEL_BINS", "MEL_COLUMNS", "MESH_POINTS",
    "MESH_SIZE", "MODELS", "NUMPY", "PIPELINES", "PROFILES", "REFERENCE_POINTS", "SAMPLE_RATE", "STAGES",
    "TIER_NAMES", "WAV2LIP_GENERATOR", "WAV2LIP_SIZE", "Dtype", "Form", "Framing", "Kind", "Landmarks",
    "Model", "Pipeline", "Profile", "Step", "Tensor", "TierName", "leaves", "leaves_of", "models", "of_tier",
]  # fmt: skip
