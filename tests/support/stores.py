"""Model stores with small files in place of graphs and plans: their manifests and records are real."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lipserve.contracts import leaves_of
from lipserve.engine_store import EngineKey
from lipserve_server.repository.engines import Machine

LEAVES = [leaf.name for leaf in leaves_of("lipwarp")]
A100 = Machine(("sm80",), "10.13.3")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def export(store: Path, text: str = "first") -> None:
    """Write the graphs of lipwarp, as an exporter of that text does."""
    for leaf in LEAVES:
        folder = store / leaf / "1"
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for name, precision in (("model.onnx", "fp32"), ("model.fp16.onnx", "fp16")):
            content = f"{text} {leaf} {precision}".encode()
            (folder / name).write_bytes(content)
            files.append({"name": name, "precision": precision, "sha256": digest(content)})
        (folder / "manifest.json").write_text(json.dumps({"files": files}))


def build(store: Path, machine: Machine = A100, text: str = "first", plan: bytes = b"plan") -> None:
    """Write the engines of these graphs for a machine."""
    graphs = {leaf: digest(f"{text} {leaf} fp16".encode()) for leaf in LEAVES}
    assert machine.tensorrt
    key = EngineKey.of(machine.capabilities[0], "tensorrt", machine.tensorrt, graphs.values())
    for leaf, graph in graphs.items():
        path = key.plan(store, leaf)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plan)
        record = {
            "purpose": "serving",
            "onnx_sha256": graph,
            "plan_sha256": digest(b"plan"),
            "precision": "fp16",
            "shapes": {},
            "flavour": "tensorrt",
            "version": machine.tensorrt,
            "compute_capability": machine.capabilities[0],
        }
        path.with_suffix(".json").write_text(json.dumps(record))
