"""Model names, tensor names, dtypes and shapes: the one place.

The configuration of every model in `model_repository/` is rendered from here, the exporters give their
graphs these signatures, and the client asks for these names.

Axes: N crops (one per output frame and face), F frames, B batch, n samples.
"""

from __future__ import annotations

from lipserve.contracts.clip import POSTPROCESS
from lipserve.contracts.faces import (
    DETECTOR_SIZE,
    FACE_DETECTOR,
    FACE_LANDMARKS,
    MAX_DETECTIONS,
    MESH_POINTS,
    MESH_SIZE,
)
from lipserve.contracts.latentsync import LATENTSYNC, LATENTSYNC_GENERATE, LATENTSYNC_PREPROCESS, Form, leaves
from lipserve.contracts.spec import (
    MEL_BINS,
    NUMPY,
    PROFILES,
    SAMPLE_RATE,
    TIERS,
    Dtype,
    Kind,
    Model,
    Profile,
    Step,
    Tensor,
    Tier,
)
from lipserve.contracts.wav2lip import (
    MEL_COLUMNS,
    PREPROCESS,
    WAV2LIP,
    WAV2LIP_GENERATE,
    WAV2LIP_GENERATOR,
    WAV2LIP_SIZE,
)

FAST_LEAVES = (FACE_DETECTOR, FACE_LANDMARKS, WAV2LIP_GENERATOR)


def models(form: Form = Form()) -> dict[str, Model]:  # noqa: B008 (a frozen value)
    """Return every model by its name, the quality tier's leaves in the shapes of `form`."""
    every = (
        *FAST_LEAVES,
        *leaves(form),
        PREPROCESS,
        LATENTSYNC_PREPROCESS,
        WAV2LIP_GENERATE,
        LATENTSYNC_GENERATE,
        POSTPROCESS,
        WAV2LIP,
        LATENTSYNC,
    )
    return {model.name: model for model in every}


def of_tier(tier: Tier, form: Form = Form()) -> tuple[Model, ...]:  # noqa: B008 (a frozen value)
    """Return the models that a tier's requests pass through: leaves, stages in order, the ensemble."""
    found = models(form)
    ensemble = found[tier]
    own = (WAV2LIP_GENERATOR,) if ensemble is WAV2LIP else leaves(form)
    stages = (found[step.model] for step in ensemble.steps)
    return (FACE_DETECTOR, FACE_LANDMARKS, *own, *stages, ensemble)


MODELS = models()
LEAVES = tuple(model for model in MODELS.values() if model.kind == "leaf")
STAGES = tuple(model for model in MODELS.values() if model.kind == "stage")
ENSEMBLES = tuple(model for model in MODELS.values() if model.kind == "ensemble")

__all__ = [
    "DETECTOR_SIZE", "ENSEMBLES", "FACE_DETECTOR", "FACE_LANDMARKS", "FAST_LEAVES", "LEAVES",
    "MAX_DETECTIONS", "MEL_BINS", "MEL_COLUMNS", "MESH_POINTS", "MESH_SIZE", "MODELS", "NUMPY",
    "POSTPROCESS", "PREPROCESS", "PROFILES", "SAMPLE_RATE", "STAGES", "TIERS", "WAV2LIP",
    "WAV2LIP_GENERATE", "WAV2LIP_GENERATOR", "WAV2LIP_SIZE", "Dtype", "Form", "Kind", "Model", "Profile",
    "Step", "Tensor", "Tier", "leaves", "models", "of_tier",
]  # fmt: skip
