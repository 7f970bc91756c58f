"""The jump at the border of two blocks of Whisper's encoder, with a real encoder on real speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.mel import whisper_peak
from lipserve.latentsync.audio_features import features
from lipserve_export.graphs.whisper import WhisperEncoder

SPEECHES = (
    "EchoMimic__walden.wav", "hallo__1.wav", "EchoMimic__echomimic_en.wav", "video-retalking__1.wav",
    "whisper__jfk.flac", "LatentSync__demo1_audio.wav",
)  # fmt: skip


class Encoder:
    """Runs the tiny.en encoder as the leaf does."""

    def __init__(self, path: Path) -> None:
        arrays = np.load(path)
        self._network = WhisperEncoder().eval()
        self._network.load_state_dict(
            {
                name.removeprefix("encoder."): torch.from_numpy(arrays[name])
                for name in arrays.files
                if "ln_post" not in name
            }
        )

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            states = [self._network(torch.from_numpy(mel[None])) for mel in inputs["MEL"]]
        return {"STATES": torch.cat(states).numpy()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "ends", "crossings"),
    [
        (40, [1499], [999, 1249, 1499]),
        pytest.param(70, [1499, 2999], [999, 1249, 1499, 1999, 2249, 2499], marks=pytest.mark.whole),
    ],
)
def test_overlapping_blocks_take_the_jump_out(
    shared_data: Callable[[str], Path], seconds: int, ends: list[int], crossings: list[int]
) -> None:
    """Rows are of a fiftieth of a second.

    Args:
        ends: the rows at which a block of 30 s ends, where the next begins behind it.
        crossings: the rows where blocks begin, cross and end, where they overlap.
    """
    encoder = Encoder(shared_data("models/whisper_tiny_en_encoder.npz"))
    speech = np.concatenate([audio.load(shared_data(f"audio/{name}")) for name in SPEECHES])
    speech = np.tile(speech, 2)[: seconds * 16_000]
    peak, frames = whisper_peak(speech), seconds * 25

    def likeness(reference: bool) -> NDArray[np.float32]:
        """Return the cosine of each row's five states and the next row's, [50 x seconds - 1]."""
        heard = features(
            encoder, speech, 0, len(speech), peak, 0, frames, Fraction(25), 0.0, reference
        ).reshape(frames, 10, -1)
        rows = heard[:, 4:6].reshape(2 * frames, -1)  # a frame's own, and the one after
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray((rows[:-1] * rows[1:]).sum(1))

    before, after = likeness(True), likeness(False)
    print(f"at the ends of 30 s: {before[ends]} end to end, {after[ends]} overlapping")
    print(f"anywhere: median {np.median(before):.3f}, {np.median(after):.3f}")
    assert before[ends].max() < 0.55
    assert after[ends].min() > 0.8
    assert after[crossings].min() > 0.8
    assert np.median(after) > 0.92
