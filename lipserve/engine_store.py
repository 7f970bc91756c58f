"""Store of TensorRT engines: their folders, their records, and their validation.

<store>/engines/<key>/<leaf>/model.plan, model.json    the plan, and its record

`lipserve export engines` writes them. The server takes those of one key and no others: that of its GPU, its
TensorRT and its graphs. What was built for other machines, or of other graphs, may lie beside it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lipserve.digests import file_sha256
from lipserve.errors import EngineError, SetupError

Flavour = Literal["tensorrt", "tensorrt_rtx"]
Precision = Literal["fp32", "fp16"]

ENGINES = "engines"
PLANS: dict[Flavour, str] = {"tensorrt": "model.plan", "tensorrt_rtx": "check.plan"}
"""File names of plans. A plan for checking never has the name that Triton loads."""

_SHORT: dict[Flavour, str] = {"tensorrt": "trt", "tensorrt_rtx": "rtx"}

_MAJOR_ATTRIBUTE, _MINOR_ATTRIBUTE = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_SHA256 = r"^[0-9a-f]{64}$"


class EngineRecord(BaseModel):
    """The JSON beside a plan, `model.json` beside `model.plan`.

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
    precision: Precision
    shapes: dict[str, list[list[int]]]
    flavour: Flavour
    version: str = Field(pattern=r"^\d+\.\d+\.\d+")
    compute_capability: str = Field(pattern=r"^sm\d{2,3}$")


def read_record(plan: Path) -> EngineRecord:
    """Return the record beside a plan; SetupError where there is none, or it is damaged."""
    path = plan.with_suffix(".json")
    remedy = "Build the engine again: its model.json is missing or damaged."
    try:
        return EngineRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}.", remedy) from error
    except ValidationError as error:
        raise SetupError(f"{path} is not the record of a plan.", remedy) from error


@dataclass(frozen=True)
class EngineKey:
    """Key of engines: machine, TensorRT and graphs; as text sm80-trt10.13.3-0123456789ab.

    Attributes:
        compute_capability: of the GPU: `sm80`, say.
        flavour: the builder; what `tensorrt_rtx` built is for checking.
        version: of the builder, the three parts of it that decide whether a plan can be loaded.
        models: what `models_digest` makes of the graphs of all leaves.
    """

    compute_capability: str
    flavour: Flavour
    version: str
    models: str

    @classmethod
    def of(cls, capability: str, flavour: Flavour, version: str, graphs: Iterable[str]) -> EngineKey:
        """Return the key of plans for `capability`, built by that version of the graphs (sha256 of each)."""
        return cls(capability, flavour, ".".join(version.split(".")[:3]), models_digest(graphs))

    @classmethod
    def parse(cls, name: str) -> EngineKey | None:
        """Return the key whose folder has that name, None where it is no key's."""
        found = re.fullmatch(r"(sm\d{2,3})-(trt|rtx)(\d+\.\d+\.\d+)-([0-9a-f]{12})", name)
        flavours = {short: flavour for flavour, short in _SHORT.items()}
        return cls(found[1], flavours[found[2]], found[3], found[4]) if found else None

    def __str__(self) -> str:
        return f"{self.compute_capability}-{_SHORT[self.flavour]}{self.version}-{self.models}"

    def plan(self, store: Path, leaf: str) -> Path:
        """Return the path of a leaf's engine."""
        return store / ENGINES / str(self) / leaf / PLANS[self.flavour]


def models_digest(graphs: Iterable[str]) -> str:
    """Return 12 hexadecimal digits that stand for all graphs together (sha256 of each)."""
    return hashlib.sha256("\n".join(sorted(graphs)).encode()).hexdigest()[:12]


def stored_keys(store: Path) -> list[EngineKey]:
    """Return the keys that a store has plans of, or some plans of."""
    found = (EngineKey.parse(folder.name) for folder in sorted((store / ENGINES).glob("*")))
    return [key for key in found if key is not None]


def graph_digests(store: Path, leaves: Iterable[str], precision: Precision = "fp16") -> dict[str, str]:
    """Return the sha256 of every leaf's graph, by its manifest; SetupError where one cannot be read."""
    found = {}
    for leaf in leaves:
        path = store / leaf / "1" / "manifest.json"
        try:
            files = json.loads(path.read_bytes())["files"]
            found[leaf] = next(
                str(file["sha256"])
                for file in files
                if file["precision"] == precision and file["name"].endswith(".onnx")
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
            raise SetupError(
                f"{path} cannot be read, or names no {precision} graph.",
                f"Export the models again: lipserve export all -o {store}",
            ) from error
    return found


def fault(plan: Path, key: EngineKey, graph: str, whole: bool = True) -> str | None:
    """Return the reason why an engine is not `key`'s engine of a graph, or None.

    Args:
        graph: the graph's sha256.
        whole: also read the plan (gigabytes of the quality tier) and hold it to its record.
    """
    if not plan.is_file():
        return f"{plan} is missing"
    try:
        record = read_record(plan)
    except SetupError as error:
        return error.message.rstrip(".")
    own = EngineKey.of(record.compute_capability, record.flavour, record.version, ())
    if replace(own, models=key.models) != key:
        return f"{plan} was built for {record.compute_capability} by {record.flavour} {record.version}"
    if record.onnx_sha256 != graph:
        return f"{plan} was built of another graph than the manifest's"
    if whole and file_sha256(plan) != record.plan_sha256:
        return f"{plan} is not the plan that {plan.stem}.json beside it tells of"
    return None


def compute_capabilities() -> list[str]:
    """Return the compute capability of every visible GPU (`sm90`, say); none where there is no driver.

    Raises:
        EngineError: there is a driver, and it does not work.
    """
    count, device = ctypes.c_int(), ctypes.c_int()
    major, minor = ctypes.c_int(), ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []

    def call(name: str, *arguments: object) -> int:
        code = int(getattr(driver, name)(*arguments))
        if code not in (0, _NO_DEVICE):
            raise _driver_fault(driver, name, code)
        return code

    if call("cuInit", 0) or call("cuDeviceGetCount", ctypes.byref(count)):
        return []
    found = []
    for number in range(count.value):
        call("cuDeviceGet", ctypes.byref(device), number)
        call("cuDeviceGetAttribute", ctypes.byref(major), _MAJOR_ATTRIBUTE, device)
        call("cuDeviceGetAttribute", ctypes.byref(minor), _MINOR_ATTRIBUTE, device)
        found.append(f"sm{major.value}{minor.value}")
    return found


def _driver_fault(driver: ctypes.CDLL, call: str, code: int) -> EngineError:
    name, text = ctypes.c_char_p(), ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(name))
    driver.cuGetErrorString(code, ctypes.byref(text))
    reason = ", ".join(text_field.value.decode() for text_field in (name, text) if text_field.value)
    return EngineError(
        f"The NVIDIA driver does not work: {call} fails with {code} ({reason or 'an unknown error'}).",
        "Look at `nvidia-smi` and the kernel's log on the node: the GPU has to be in order, and its driver "
        "of one version with the libraries that the container's toolkit mounts.",
    )
