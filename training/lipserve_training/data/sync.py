"""The sound of a scene, and by how much its lips come later than it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from lipserve import audio
from lipserve.audio.reader import open_audio
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.quality import lips
from lipserve.quality.lips import FPS
from lipserve_training import meter
from lipserve_training.data import track

Offset = Literal["estimate", "trust"]
"""Look for the offset of sound and lips, or take the container's."""

MAX_OFFSET = 10  # frames, searched on both sides
SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


def speech(path: Path) -> Samples:
    """Return the sound of a video from its first picture on, float32 [n] 16 kHz.

    Raises:
        AudioError: no sound, or none that can be decoded.
    """
    with open_audio(str(path)) as reader:
        early = round(reader.early * SAMPLE_RATE)
    return audio.load(str(path))[early:]


def sync_of(shown: lips.Series, samples: Samples, scene: track.Scene, how: Offset) -> tuple[int, float]:
    """Return by how many frames the lips [F, 4] of a scene come later than its sound, and the meter's score.

    Zero is doubted only where another offset is clearly better, and far better than chance.
    """
    verdict = meter.shipped().judge(shown, heard(samples, scene, 0), MAX_OFFSET)
    lag = verdict.believed(len(scene)) if how == "estimate" else 0
    return (lag, verdict.score) if lag else (0, verdict.at_zero)


def heard(samples: Samples, scene: track.Scene, offset: int) -> Samples:
    """Return the sound of a scene moved later by `offset` frames: as long as the scene, silence around it."""
    first = (scene.first - offset) * SAMPLES_PER_FRAME
    at = first + np.arange(len(scene) * SAMPLES_PER_FRAME)
    inside = (at >= 0) & (at < len(samples))
    out = np.zeros(len(at), np.float32)
    out[inside] = samples[at[inside]]
    return out
