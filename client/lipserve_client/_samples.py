"""The media that come with the client."""

from __future__ import annotations

from pathlib import Path

_MEDIA = Path(__file__).parent / "_media"
SPEECH = _MEDIA / "speech.flac"
"""Six seconds, synthesised for this project with eSpeak NG; no person's voice."""

PORTRAIT = _MEDIA / "portrait.jpg"
"""256 x 256 of `skimage.data.astronaut` (Eileen Collins, photographed by NASA, public domain)."""
