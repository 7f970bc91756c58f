"""`lipserve export wav2lip`: the fast tier's generator into a model repository."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lipserve.contracts import WAV2LIP_GENERATOR, Framing
from lipserve_export.fetch import files
from lipserve_export.graphs import counts, manifest
from lipserve_export.graphs.fp16 import to_fp16
from lipserve_export.wav2lip.checkpoints import load_generator, read_framing, read_mel_offset
from lipserve_export.wav2lip.generator import random_generator, wav2lip_generator
from lipserve_export.wav2lip.network import VARIANTS, Wav2Lip
from lipserve_export.wav2lip.parity import check_wav2lip

SHIPPED = "wav2lip_grid.pth"


def shipped() -> Path:
    """Return the checkpoint that comes with LipServe."""
    return files.shipped_file(SHIPPED)


@dataclass(frozen=True)
class Generator:
    """A network in inference mode, where its weights come from, and what of the input they were trained on.

    Attributes:
        mel_offset_ms: of the mel window that a frame hears.
        framing: of the crops.
    """

    model: Wav2Lip
    weights: str
    mel_offset_ms: float = 0.0
    framing: Framing = "similarity"


def from_checkpoint(checkpoint: Path) -> Generator:
    """Return what a Wav2Lip checkpoint holds, its form and width detected."""
    model, digest = load_generator(checkpoint)
    weights = f"{checkpoint.name}, sha256 {digest}"
    return Generator(model, weights, read_mel_offset(checkpoint), read_framing(checkpoint))


def from_seed(seed: int, variant: str) -> Generator:
    """Return a generator of seeded random weights: everything works, the mouth is noise."""
    return Generator(random_generator(VARIANTS[variant], seed), f"random weights, seed {seed}")


def export_generator(repository: Path, generator: Generator, say: Callable[[str], None]) -> manifest.Manifest:
    """Write `wav2lip_generator` and return its manifest."""
    model = generator.model
    say(f"wav2lip_generator: {model.variant.name}, {generator.weights}, framing {generator.framing}")
    largest = check_wav2lip(model)
    say(f"wav2lip_generator: PyTorch and ONNX Runtime agree within {largest:.1e}")
    graph = wav2lip_generator(model)
    described = manifest.Manifest(
        model=WAV2LIP_GENERATOR.name,
        weights=generator.weights,
        variant=model.variant.name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=counts.macs(graph).input_grid,
        mel_offset_ms=generator.mel_offset_ms,
        framing=generator.framing,
    )
    manifest.write(repository, described, {"fp32": graph, "fp16": to_fp16(graph)})
    return described
