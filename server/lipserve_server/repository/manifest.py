"""What the exporter wrote of the networks that lie in the repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from lipserve.contracts import FACE_LANDMARKS_106, Form, Framing, Landmarks
from lipserve.tiers import CropForm, Tier


class LeafManifest(BaseModel):
    """The part of a leaf's `manifest.json` that the server needs.

    Attributes:
        weights: where they come from; it stands in every report.
        mel_offset_ms: of the mel window that a frame hears, against Wav2Lip's inference rule: the one that
            the generator was trained with.
        framing: of the crops that the generator knows; what was exported before it was told has aligned ones.
        resolution, channels: of the quality tier's leaves, their `Form`.
    """

    weights: str = "unknown"
    mel_offset_ms: float = Field(default=0.0, ge=-100, le=100)
    framing: Framing = "similarity"
    resolution: Literal[256, 512] = 256
    channels: int = Field(default=320, ge=1, le=4096)

    @property
    def form(self) -> Form:
        return Form(self.resolution, self.channels)

    @property
    def crops(self) -> CropForm:
        return CropForm(self.resolution, self.framing)


def read_manifest(repository: Path, leaf: str) -> LeafManifest:
    """Return the manifest of a leaf; of one without a manifest nothing is known."""
    path = repository / leaf / "1" / "manifest.json"
    return LeafManifest.model_validate_json(path.read_bytes()) if path.exists() else LeafManifest()


def read_form(repository: Path) -> Form:
    """Return the shapes that the quality tier's leaves have here."""
    form = read_manifest(repository, "denoise_step").form
    return replace(form, landmarks=_landmarks(repository))


def read_crops(repository: Path, tier: Tier) -> CropForm:
    """Return the crops that a tier's generator knows here: every stage cuts and pastes by it."""
    crops = read_manifest(repository, tier.generators[0]).crops
    return replace(crops, landmarks=_landmarks(repository))


def _landmarks(repository: Path) -> Landmarks:
    """Return what the quality tier aligns faces by: the network of 106 points, where a user supplied it."""
    return "106" if (repository / FACE_LANDMARKS_106.name / "1" / "manifest.json").is_file() else "mesh"


def read_weights(repository: Path, tier: Tier) -> str:
    """Return where the weights of a tier come from."""
    return "; ".join(dict.fromkeys(read_manifest(repository, leaf).weights for leaf in tier.generators))
