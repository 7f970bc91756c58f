"""Types of a contract: tensors, models, and the steps of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

Dtype = Literal["UINT8", "INT32", "FP16", "FP32", "BYTES"]
Kind = Literal["leaf", "stage", "ensemble"]
Profile = Literal["tensorrt", "onnx", "embedded"]
TierName = Literal["lipwarp", "wav2lip", "latentsync"]
NUMPY: dict[Dtype, type[Any]] = {
    "UINT8": np.uint8,
    "INT32": np.int32,
    "FP16": np.float16,
    "FP32": np.float32,
    "BYTES": np.object_,
}
PROFILES: tuple[Profile, ...] = ("tensorrt", "onnx", "embedded")
TIER_NAMES: tuple[TierName, ...] = get_args(TierName)
DEFAULT_TIER: TierName = "lipwarp"

SAMPLE_RATE = 16_000  # Hz, of every speech tensor
MEL_BINS = 80  # of either tier's mel


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
    kind: Kind
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 0
    max_queue_delay_us: int = 0
    instances: int = 1
    embedded_instances: int = 1
    steps: tuple[Step, ...] = field(default=())
