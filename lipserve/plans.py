"""What lies beside a TensorRT plan: what it was built of, with what, and for which GPU.

`lipserve-export engines` writes it, and the server reads it before anything is served.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipserve.errors import SetupError

PLAN = "model.plan"
"""What Triton loads. A plan for checking is never called so."""

_MAJOR_ATTRIBUTE, _MINOR_ATTRIBUTE = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_SHA256 = r"^[0-9a-f]{64}$"


class PlanAccount(BaseModel):
    """The JSON beside a plan, `<plan>.json` for `<plan>.plan`.

    Attributes:
        onnx_sha256: of the graph's file, as its manifest has it.
        flavour: the builder; plans of `tensorrt_rtx` are for checking, and nothing here can load them.
        version: of the builder. A plan runs on the TensorRT that built it, and on no other.
        compute_capability: of the GPU that it was built on: `sm90`, say.
        shapes: of each input the smallest, the likeliest and the largest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: str
    onnx_sha256: str = Field(pattern=_SHA256)
    plan_sha256: str = Field(pattern=_SHA256)
    precision: Literal["fp32", "fp16"]
    shapes: dict[str, list[list[int]]]
    flavour: Literal["tensorrt", "tensorrt_rtx"]
    version: str = Field(pattern=r"^\d+\.\d+\.\d+")
    compute_capability: str = Field(pattern=r"^sm\d{2,3}$")


def read_account(plan: Path) -> PlanAccount:
    """Return the account beside a plan; SetupError where there is none, or it is damaged."""
    path = plan.with_suffix(".json")
    remedy = "Build the plan again: nothing tells what it was built of."
    try:
        return PlanAccount.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}.", remedy) from error
    except ValidationError as error:
        raise SetupError(f"{path} is not the account of a plan.", remedy) from error


def compute_capabilities() -> list[str]:
    """Return the compute capability of every visible GPU (`sm90`, say); none where there is no driver."""
    count, device = ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    found = []
    for number in range(count.value):
        driver.cuDeviceGet(ctypes.byref(device), number)
        driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR_ATTRIBUTE, device)
        driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR_ATTRIBUTE, device)
        found.append(f"sm{major.value}{minor.value}")
    return found
