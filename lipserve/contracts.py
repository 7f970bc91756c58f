"""Model names, tensor names, dtypes and shapes: the one place.

The configuration of every model in `model_repository/` is rendered from here, the exporters give their
graphs these signatures, and the client asks for these names.

Axes: N crops (one per output frame and face), F frames, B batch, n samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Dtype = Literal["UINT8", "INT32", "FP32", "BYTES"]
Profile = Literal["tensorrt", "onnx", "embedded"]
NUMPY: dict[Dtype, type[Any]] = {
    "UINT8": np.uint8,
    "INT32": np.int32,
    "FP32": np.float32,
    "BYTES": np.object_,
}
PROFILES: tuple[Profile, ...] = ("tensorrt", "onnx", "embedded")

SAMPLE_RATE = 16_000  # Hz, of every speech tensor
DETECTOR_SIZE = 640  # pixels, side of the detector's letterboxed input
MAX_DETECTIONS = 64  # best candidates that the detector leaf gives, before non-maximum suppression
MESH_SIZE = 192  # pixels, side of the face mesh's input
MESH_POINTS = 468
WAV2LIP_SIZE = 96  # pixels, side of a face crop of the fast tier
MEL_BINS = 80
MEL_COLUMNS = 16  # mel columns that the generator hears for one frame: 0.2 s


@dataclass(frozen=True)
class Tensor:
    """One input or output. `dims` excludes the batch axis of a batching model; -1 is any size."""

    name: str
    dtype: Dtype
    dims: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Step:
    """One node of an ensemble: which model, and which pipeline name feeds or leaves each tensor."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Model:
    """A model of the repository.

    `max_batch_size` 0 means that the model takes no batch axis. `embedded_instances` is the number of
    processes in the embedded profile, `instances` of the production one.
    """

    name: str
    kind: Literal["leaf", "stage", "ensemble"]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 0
    max_queue_delay_us: int = 0
    instances: int = 1
    embedded_instances: int = 1
    steps: tuple[Step, ...] = field(default=())


FACE_DETECTOR = Model(
    name="face_detector",
    kind="leaf",
    # RGB, letterboxed: scaled to fit, top left, the rest black.
    inputs=(Tensor("IMAGES", "UINT8", (DETECTOR_SIZE, DETECTOR_SIZE, 3)),),
    outputs=(
        Tensor("BOXES", "FP32", (MAX_DETECTIONS, 4)),  # x1, y1, x2, y2 in input pixels, best score first
        Tensor("SCORES", "FP32", (MAX_DETECTIONS,)),  # 0..1
        Tensor("EYES", "FP32", (MAX_DETECTIONS, 2, 2)),  # x, y of the eye left and right in the picture
    ),
    max_batch_size=8,
    max_queue_delay_us=500,
)

FACE_LANDMARKS = Model(
    name="face_landmarks",
    kind="leaf",
    inputs=(Tensor("IMAGES", "UINT8", (MESH_SIZE, MESH_SIZE, 3)),),  # RGB, an upright face
    outputs=(
        Tensor("LANDMARKS", "FP32", (MESH_POINTS, 3)),  # x, y, z in input pixels
        Tensor("SCORES", "FP32", (1,)),  # 0..1, that there is a face
    ),
    max_batch_size=32,
    max_queue_delay_us=500,
    embedded_instances=2,
)

WAV2LIP_GENERATOR = Model(
    name="wav2lip_generator",
    kind="leaf",
    inputs=(
        Tensor("MEL", "FP32", (1, MEL_BINS, MEL_COLUMNS)),  # -4..4
        Tensor("FACES", "UINT8", (WAV2LIP_SIZE, WAV2LIP_SIZE, 3)),  # RGB
    ),
    outputs=(Tensor("GENERATED", "UINT8", (WAV2LIP_SIZE, WAV2LIP_SIZE, 3)),),  # RGB
    max_batch_size=64,
    max_queue_delay_us=500,
    embedded_instances=2,
)

_VIDEO = Tensor("VIDEO", "BYTES", (1,))  # a container file
_AUDIO = Tensor("AUDIO", "BYTES", (1,))  # any audio file
_OPTIONS = Tensor("OPTIONS", "BYTES", (1,), optional=True)  # JSON, lipserve.options.Options
_FACES = Tensor("FACES", "UINT8", (-1, -1, -1, 3))  # [N, S, S, 3] RGB
_RESULT = Tensor("RESULT", "BYTES", (1,))  # MP4
_REPORT = Tensor("REPORT", "BYTES", (1,))  # JSON, lipserve.report.Report

_CROPS = (
    Tensor("TRANSFORMS", "FP32", (-1, 2, 3)),  # source pixel -> crop pixel
    Tensor("WEIGHTS", "FP32", (-1,)),  # 0..1, how much of the crop is pasted
    Tensor("FRAMES", "INT32", (-1,)),  # output frame of each crop, counted from the clip's first
)
_PLAN = Tensor("PLAN", "BYTES", (1,))  # JSON, lipserve_server.stages.plan.Plan

PREPROCESS = Model(
    name="preprocess",
    kind="stage",
    inputs=(_VIDEO, _AUDIO, _OPTIONS),
    outputs=(
        _FACES,
        *_CROPS,
        Tensor("SPEECH", "FP32", (-1,)),  # 16 kHz mono
        Tensor("GENERATE_OPTIONS", "BYTES", (1,)),  # JSON, lipserve.options.GenerateOptions
        _PLAN,
    ),
    instances=4,
    embedded_instances=2,
)

WAV2LIP_GENERATE = Model(
    name="wav2lip_generate",
    kind="stage",
    inputs=(
        _FACES,
        Tensor("AUDIO", "FP32", (-1,)),  # 16 kHz mono
        Tensor("FRAMES", "INT32", (-1,), optional=True),  # default 0, 1, 2, ...
        _OPTIONS,  # JSON, lipserve.options.GenerateOptions
    ),
    outputs=(_FACES,),
    instances=4,
    embedded_instances=2,
)

POSTPROCESS = Model(
    name="postprocess",
    kind="stage",
    inputs=(_VIDEO, _AUDIO, _FACES, *_CROPS, _PLAN),
    outputs=(_RESULT, _REPORT),
    instances=8,
    embedded_instances=2,
)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_CROP_NAMES = tuple(tensor.name for tensor in _CROPS)

WAV2LIP = Model(
    name="wav2lip",
    kind="ensemble",
    inputs=(_VIDEO, _AUDIO, _OPTIONS),
    outputs=(_RESULT, _REPORT),
    steps=(
        Step(
            model="preprocess",
            inputs=_same("VIDEO", "AUDIO", "OPTIONS"),
            outputs=_same("FACES", *_CROP_NAMES, "SPEECH", "GENERATE_OPTIONS", "PLAN"),
        ),
        Step(
            model="wav2lip_generate",
            inputs={**_same("FACES", "FRAMES"), "AUDIO": "SPEECH", "OPTIONS": "GENERATE_OPTIONS"},
            outputs={"FACES": "GENERATED_FACES"},
        ),
        Step(
            model="postprocess",
            inputs={**_same("VIDEO", "AUDIO", *_CROP_NAMES, "PLAN"), "FACES": "GENERATED_FACES"},
            outputs=_same("RESULT", "REPORT"),
        ),
    ),
)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        FACE_DETECTOR,
        FACE_LANDMARKS,
        WAV2LIP_GENERATOR,
        PREPROCESS,
        WAV2LIP_GENERATE,
        POSTPROCESS,
        WAV2LIP,
    )
}
LEAVES = tuple(model for model in MODELS.values() if model.kind == "leaf")
STAGES = tuple(model for model in MODELS.values() if model.kind == "stage")
ENSEMBLES = tuple(model for model in MODELS.values() if model.kind == "ensemble")
