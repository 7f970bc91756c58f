"""`lipserve export lipwarp`: the leaves of the tier that moves the source's own pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from torch import nn

from lipserve.contracts.lipwarp import LIP_MOTION, LIP_RENDERER, SPEECH_ENCODER, STATES
from lipserve_export.fetch import shipped
from lipserve_export.fetch.files import shipped_file
from lipserve_export.graphs import counts, manifest
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.graphs.leaf import Origin, write_leaf
from lipserve_export.graphs.parity import of_module, plausible_inputs
from lipserve_export.graphs.whisper import SpeechEncoder
from lipserve_export.lipwarp.motion_network import LipMotion
from lipserve_export.lipwarp.parity import check_renderer
from lipserve_export.lipwarp.renderer import lip_renderer
from lipserve_export.lipwarp.renderer_network import WIDTHS, LipRenderer

Say = Callable[[str], None]
_N = TypeVar("_N", bound=nn.Module)


@dataclass(frozen=True)
class Source(Generic[_N]):
    """A network in inference mode, and where its weights come from."""

    network: _N
    weights: str


def source(leaf: str, network: _N, files: Mapping[str, Path]) -> Source[_N]:
    """Return a network with the weights of its leaf, out of `files` or else those that come with LipServe."""
    path = files.get(leaf) or shipped_file(f"{leaf}.safetensors")
    filled, digest = shipped.load(path, network)
    return Source(filled, f"{path.name}, sha256 {digest}")


def export_lipwarp(repository: Path, files: Mapping[str, Path], say: Say) -> None:
    """Write `speech_encoder`, `lip_motion` and `lip_renderer`; all weights are read before a leaf is written.

    Args:
        files: weights that `shipped.save` wrote, by the leaf's name; of other leaves LipServe's own.
    """
    encoder = source(SPEECH_ENCODER.name, SpeechEncoder(), files)
    motion = source(LIP_MOTION.name, LipMotion(), files)
    renderer = source(LIP_RENDERER.name, LipRenderer(), files)
    given = plausible_inputs(SPEECH_ENCODER, 1)
    origin = Origin(encoder.weights, f"tiny.en, {STATES} blocks")
    write_leaf(repository, SPEECH_ENCODER, encoder.network, origin, say, given)
    origin = Origin(motion.weights, f"{len(motion.network.members)} members")
    states = of_module(encoder.network, SPEECH_ENCODER, given)
    write_leaf(repository, LIP_MOTION, motion.network, origin, say, states)
    export_renderer(repository, renderer, say)


def export_renderer(repository: Path, renderer: Source[LipRenderer], say: Say) -> None:
    """Write `lip_renderer`."""
    name, model = LIP_RENDERER.name, renderer.network
    variant = f"widths {'/'.join(map(str, WIDTHS))}"
    say(f"{name}: {variant}, {renderer.weights}")
    graph = lip_renderer(model)
    largest = check_renderer(model, graph)
    say(f"{name}: PyTorch and ONNX Runtime agree within {largest:.1e} before rounding")
    described = manifest.Manifest(
        model=name,
        weights=renderer.weights,
        variant=variant,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=counts.macs(graph).input_grid,
    )
    manifest.write(repository, described, {"fp32": graph, "fp16": to_fp16(graph)})
