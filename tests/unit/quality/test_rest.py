from __future__ import annotations

from fractions import Fraction

import numpy as np

from lipserve.audio import whisper_peak
from lipserve.quality import rest


def test_lip_leak_counts_frames_that_are_higher_than_a_quarter_of_their_width() -> None:
    meshes = np.zeros((4, 468, 2))
    meshes[:, 308] = [40, 0]  # the corners are 40 apart ...
    meshes[:, 14, 1] = [0, 9.9, 10.1, 30]  # ... and the lips that far
    assert rest.lip_leak(meshes) == 0.5
    turned = meshes[..., ::-1] * 3 + 7  # neither place, size nor tilt matters
    assert rest.lip_leak(turned) == 0.5


def test_silence_counts_once_the_mouth_has_had_time_to_close_and_until_it_may_open() -> None:
    samples = np.zeros(48_000, np.float32)
    at = np.arange(16_000)
    samples[16_000:32_000] = 0.3 * np.sin(2 * np.pi * 200 * at / 16_000)  # from second 1 to second 2
    quiet = rest.silent(samples, 0, whisper_peak(samples), np.arange(75), Fraction(25))
    assert np.flatnonzero(quiet).tolist() == [*range(22), *range(56, 75)]  # to 0.88 s, from 2.24 s on


def test_silence_of_a_stretch_is_that_of_the_whole() -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal(80_000).astype(np.float32)
    samples[20_000:50_000] = 0
    peak = whisper_peak(samples)
    whole = rest.silent(samples, 0, peak, np.arange(150), Fraction(30))
    part = rest.silent(samples[16_000:72_000], 16_000, peak, np.arange(40, 120), Fraction(30))
    np.testing.assert_array_equal(part, whole[40:120])
    assert 40 < sum(part) < 60


def test_what_is_faint_throughout_is_silent_throughout() -> None:
    hiss = 1e-4 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert all(rest.silent(hiss, 0, whisper_peak(hiss), np.arange(25), Fraction(25)))
