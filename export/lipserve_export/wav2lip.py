"""`lipserve-export wav2lip`: the fast tier's generator into a model repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lipserve.contracts import WAV2LIP_GENERATOR
from lipserve_export import counts, manifest
from lipserve_export.checkpoints import load_generator
from lipserve_export.fp16 import to_fp16
from lipserve_export.generator import random_generator, wav2lip_generator
from lipserve_export.models.wav2lip import VARIANTS, Wav2Lip
from lipserve_export.parity import check_wav2lip


def export_checkpoint(repository: Path, checkpoint: Path, say: Callable[[str], None]) -> None:
    """Write `wav2lip_generator` with the weights of a Wav2Lip checkpoint, its form and width detected."""
    model, digest = load_generator(checkpoint)
    _export(repository, model, f"{checkpoint.name}, sha256 {digest}", say)


def export_random(repository: Path, seed: int, variant: str, say: Callable[[str], None]) -> None:
    """Write `wav2lip_generator` with seeded random weights: everything works, the mouth is noise."""
    _export(repository, random_generator(VARIANTS[variant], seed), f"random weights, seed {seed}", say)


def _export(repository: Path, model: Wav2Lip, weights: str, say: Callable[[str], None]) -> None:
    say(f"wav2lip_generator: {model.variant.name}, {weights}")
    largest = check_wav2lip(model)
    say(f"wav2lip_generator: PyTorch and ONNX Runtime agree within {largest:.1e}")
    graph = wav2lip_generator(model)
    account = manifest.Manifest(
        model=WAV2LIP_GENERATOR.name,
        weights=weights,
        variant=model.variant.name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=counts.macs(graph).input_grid,
    )
    manifest.write(repository, account, {"fp32": graph, "fp16": to_fp16(graph)})
