"""The model repository: its configuration, rendered from the contract, and its assembly.

Triton reads `config.pbtxt` in production (profile tensorrt); `--model-config-name` names another profile,
and a model without `configs/<profile>.pbtxt` falls back to `config.pbtxt`. So a file is written only where
a profile differs: leaf models run differently in each, stages in the embedded profile only by the number of
their processes, ensembles nowhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lipserve.contracts import ENSEMBLES, LEAVES, MODELS, STAGES, Dtype, Model, Profile, Step, Tensor
from lipserve.errors import SetupError

_TYPES: dict[Dtype, str] = {
    "UINT8": "TYPE_UINT8",
    "INT32": "TYPE_INT32",
    "FP32": "TYPE_FP32",
    "BYTES": "TYPE_STRING",
}
_LEAF_ENGINE = {
    "tensorrt": 'platform: "tensorrt_plan"',
    "onnx": 'backend: "onnxruntime"',
    "embedded": 'backend: "python"',
}
_LEAF_DEVICE = {"tensorrt": "KIND_GPU", "onnx": "KIND_AUTO", "embedded": "KIND_CPU"}
_NOTICE = "# Rendered from lipserve/contracts.py by `python -m lipserve_server.repository`: edit that."


def _tensors(field: str, tensors: tuple[Tensor, ...]) -> list[str]:
    entries = []
    for tensor in tensors:
        optional = " optional: true" if tensor.optional else ""
        dims = ", ".join(map(str, tensor.dims))
        entries.append(
            f'  {{ name: "{tensor.name}" data_type: {_TYPES[tensor.dtype]} dims: [ {dims} ]{optional} }}'
        )
    return [f"{field} [", ",\n".join(entries), "]"]


def _mapping(field: str, names: dict[str, str]) -> list[str]:
    return [f'      {field} {{ key: "{key}" value: "{value}" }}' for key, value in names.items()]


def _step(step: Step) -> str:
    maps = _mapping("input_map", dict(step.inputs)) + _mapping("output_map", dict(step.outputs))
    return "\n".join(
        ["    {", f'      model_name: "{step.model}"', "      model_version: -1", *maps, "    }"]
    )


def _execution(model: Model, profile: Profile) -> list[str]:
    """Return what differs from one kind of model to the next, and from one profile to the next.

    Never a queue policy or a priority: with either, Triton's batcher can sleep for half a second beside an
    idle instance.
    """
    if model.kind == "ensemble":
        return ["ensemble_scheduling {", "  step [", ",\n".join(map(_step, model.steps)), "  ]", "}"]
    count = model.embedded_instances if profile == "embedded" else model.instances
    kind = _LEAF_DEVICE[profile] if model.kind == "leaf" else "KIND_CPU"
    lines = [f"instance_group [ {{ count: {count} kind: {kind} }} ]"]
    if model.max_batch_size:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {model.max_queue_delay_us} }}")
    return lines


def _engine(model: Model, profile: Profile) -> str:
    if model.kind == "ensemble":
        return 'platform: "ensemble"'
    return _LEAF_ENGINE[profile] if model.kind == "leaf" else 'backend: "python"'


def config(model: Model, profile: Profile) -> str:
    """Return the text of the model's configuration in that profile."""
    return "\n".join(
        [
            _NOTICE,
            f'name: "{model.name}"',
            _engine(model, profile),
            f"max_batch_size: {model.max_batch_size}",
            *_tensors("input", model.inputs),
            *_tensors("output", model.outputs),
            *_execution(model, profile),
            "",
        ]
    )


def rendered() -> dict[str, str]:
    """Return every rendered file of the repository: its path below the root, and its text."""
    files = {f"{model.name}/config.pbtxt": config(model, "tensorrt") for model in MODELS.values()}
    files |= {f"{model.name}/configs/onnx.pbtxt": config(model, "onnx") for model in LEAVES}
    files |= {
        f"{model.name}/configs/embedded.pbtxt": config(model, "embedded") for model in (*LEAVES, *STAGES)
    }
    # Triton wants a version directory of every model, and git keeps no empty one.
    files |= {f"{model.name}/1/.gitkeep": "" for model in ENSEMBLES}
    return files


def template() -> Path:
    """Return the committed repository: the checkout's, or the installed package's own copy."""
    package = Path(__file__).resolve().parent
    for path in (package.parents[1] / "model_repository", package / "model_repository"):
        if path.is_dir():
            return path
    raise SetupError(
        "The model repository's configuration is not installed.",
        "Reinstall with: pip install 'lipserve[server]'.",
    )


def _write(path: Path, content: bytes) -> None:
    if path.is_file() and path.read_bytes() == content:
        return  # so that a read-only repository that is already assembled can be served
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def missing_leaves(repository: Path) -> list[str]:
    """Return the names of the leaf models whose graph the repository lacks."""
    return [model.name for model in LEAVES if not (repository / model.name / "1" / "model.onnx").is_file()]


def assemble(destination: Path) -> None:
    """Lay configuration and adapters over a repository of exported graphs (`<leaf>/1/model.onnx`).

    Files that are equal already are left alone; nothing else in `destination` is touched.
    """
    source = template()
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            _write(destination / path.relative_to(source), path.read_bytes())


def stale(root: Path) -> list[str]:
    """Return the rendered files that differ from those under `root`, or are missing there."""
    return [
        name
        for name, text in rendered().items()
        if not (root / name).is_file() or (root / name).read_text() != text
    ]


def main(arguments: list[str]) -> int:
    """Write the rendered files into the checkout; with `--check`, only say which would change."""
    root = template()
    names = stale(root)
    if "--check" not in arguments:
        for name in names:
            _write(root / name, rendered()[name].encode())
        return 0
    for name in names:
        print(f"model_repository/{name} is not what lipserve/contracts.py says: run `make render`.")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
