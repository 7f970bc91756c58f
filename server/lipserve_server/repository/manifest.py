"""Manifests of the exported networks in the repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from lipserve.contracts import FACE_LANDMARKS_106, Form, Framing, Landmarks
from lipserve.tiers import CropForm, Tier

GRAPH = "model.onnx"
"""The graph that ONNX Runtime loads; TensorRT's plans are built of the FP16 graph beside it."""


class GraphFile(BaseModel):
    """One file that the exporter wrote: a graph, or the weights of one (`.data`)."""

    name: str
    precision: Literal["fp32", "fp16"]
    sha256: str


class LeafManifest(BaseModel):
    """The part of a leaf's `manifest.json` that the server needs.

    Attributes:
        weights: where they come from; it stands in every report.
        mel_offset_ms: of the mel window that a frame hears, against Wav2Lip's inference rule: the one that
            the generator was trained with.
        framing: of the crops that the generator knows; what was exported before it was told has aligned ones.
        resolution, channels: of the quality tier's leaves, their `Form`.
        files: the graphs, and where their weights lie apart, these.
    """

    weights: str = "unknown"
    mel_offset_ms: float = Field(default=0.0, ge=-100, le=100)
    framing: Framing = "similarity"
    resolution: Literal[256, 512] = 256
    channels: int = Field(default=320, ge=1, le=4096)
    files: tuple[GraphFile, ...] = ()

    def served(self, profile: str) -> str | None:
        """Return the sha256 of the graph that runs in a profile (tensorrt: that its plans are built of)."""
        graphs = {file.precision: file.sha256 for file in self.files if file.name.endswith(".onnx")}
        return graphs.get("fp16" if profile == "tensorrt" else "fp32")

    @property
    def form(self) -> Form:
        return Form(self.resolution, self.channels)

    @property
    def crops(self) -> CropForm:
        return CropForm(self.resolution, self.framing)


def read_manifest(repository: Path, leaf: str) -> LeafManifest:
    """Return the manifest of a leaf; an empty one if the file is missing."""
    path = repository / leaf / "1" / "manifest.json"
    return LeafManifest.model_validate_json(path.read_bytes()) if path.exists() else LeafManifest()


def read_form(repository: Path) -> Form:
    """Return the shapes of the quality tier's leaves in this repository."""
    form = read_manifest(repository, "denoise_step").form
    return replace(form, landmarks=_landmarks(repository))


def read_crops(repository: Path, tier: Tier) -> CropForm:
    """Return the crops that a tier's generator was trained on: every stage cuts and pastes by them."""
    crops = read_manifest(repository, tier.generators[0]).crops
    return replace(crops, landmarks=_landmarks(repository))


def _landmarks(repository: Path) -> Landmarks:
    """Return what the quality tier aligns faces by: the network of 106 points, where a user supplied it."""
    return "106" if (repository / FACE_LANDMARKS_106.name / "1" / "manifest.json").is_file() else "mesh"


def read_weights(repository: Path, tier: Tier, profile: str) -> str:
    """Return where the weights of a tier come from, and which graphs of theirs are served.

    `name.pth, sha256 ...; wav2lip_generator sha256 ...`: at the start the graphs, or the plans that were
    built of them, were held to these digests.
    """
    manifests = {leaf: read_manifest(repository, leaf) for leaf in tier.generators}
    origins = dict.fromkeys(manifest.weights for manifest in manifests.values())
    graphs = ((leaf, manifest.served(profile)) for leaf, manifest in manifests.items())
    return "; ".join([*origins, *(f"{leaf} sha256 {digest}" for leaf, digest in graphs if digest)])
