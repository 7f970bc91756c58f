"""What the exporter wrote of the generator that lies in the repository."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class Account(BaseModel):
    """The part of a leaf's `manifest.json` that the stages need.

    Attributes:
        weights: where they come from; it stands in every report.
        mel_offset_ms: of the mel window that a frame hears, against Wav2Lip's inference rule: the one that
            the generator was trained with.
    """

    weights: str = "unknown"
    mel_offset_ms: float = Field(default=0.0, ge=-100, le=100)


def read_account(repository: Path, generator: str) -> Account:
    """Return the account of a generator; of one without a manifest nothing is known."""
    path = repository / generator / "1" / "manifest.json"
    return Account.model_validate_json(path.read_bytes()) if path.exists() else Account()
