from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from lipserve import audio
from lipserve_training.data import sync

Film = Callable[..., Path]


def test_speech_begins_with_the_first_picture(tmp_path: Path, film: Film) -> None:
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 48000).astype(np.float32)
    grey = [np.full((64, 64, 3), 90, np.uint8)] * 25
    path = film(tmp_path / "late.mkv", grey, samples, late=840)
    np.testing.assert_allclose(sync.speech(path), samples[13440:], atol=1e-4)
    assert len(audio.load(str(path))) == len(samples)
    punctual = film(tmp_path / "punctual.mkv", grey, samples)
    np.testing.assert_allclose(sync.speech(punctual), samples, atol=1e-4)
