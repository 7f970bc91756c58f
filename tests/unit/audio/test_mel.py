from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.mel import slaney_filters


def noise(n: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, n).astype(np.float32)


def test_the_wav2lip_filters_are_slaneys() -> None:
    filters = slaney_filters(800, 55, 7600)
    assert filters.shape == (80, 401)
    assert filters.sum() == pytest.approx(3.999498, abs=1e-6)
    assert filters.max() == pytest.approx(0.0268788, abs=1e-7)
    assert np.flatnonzero(filters[0]).tolist() == [3, 4, 5, 6]
    np.testing.assert_allclose(filters[0, 3:7], [0.00386959, 0.01934796, 0.02081245, 0.00533408], atol=1e-8)
    assert np.flatnonzero(filters[79])[[0, -1]].tolist() == [353, 379]


def test_the_wav2lip_mel_of_a_tone() -> None:
    t = np.arange(16000) / 16000
    mel = audio.mel_wav2lip(np.float32(0.5 * np.sin(2 * np.pi * 440 * t)))
    assert mel.shape == (80, 81)
    assert mel.dtype == np.float32
    assert mel.mean() == pytest.approx(-3.692076, abs=1e-4)
    assert mel.min() == -4
    assert mel.max() == pytest.approx(2.030162, abs=1e-4)
    assert np.unravel_index(mel.argmax(), mel.shape) == (10, 80)
    assert mel[10, 40] == pytest.approx(1.98976, abs=1e-4)
    np.testing.assert_allclose(mel[:5, 0], [-0.86118, -0.81891, -0.74708, -0.64823, -0.57529], atol=1e-4)


def test_the_wav2lip_mel_of_a_chirp() -> None:
    t = np.arange(32000) / 16000
    mel = audio.mel_wav2lip(np.float32(0.3 * np.sin(2 * np.pi * (100 * t + 975 * t * t))))
    assert mel.shape == (80, 161)
    assert mel.mean() == pytest.approx(-3.600202, abs=1e-4)
    assert mel.max() == pytest.approx(2.579911, abs=1e-4)
    assert np.unravel_index(mel.argmax(), mel.shape) == (62, 156)
    np.testing.assert_allclose(mel[[20, 30], 40], [-3.66619, -0.98500], atol=1e-4)


def test_the_wav2lip_mel_of_silence_is_the_floor() -> None:
    np.testing.assert_array_equal(audio.mel_wav2lip(np.zeros(16000, np.float32)), np.full((80, 81), -4))


@pytest.mark.parametrize("n", [0, 1, 5, 199, 200, 399, 400, 401, 402, 800, 3199])
def test_the_shortest_speeches_have_mels(n: int) -> None:
    samples = noise(n)
    mel = audio.mel_wav2lip(samples)
    assert mel.shape == (80, 1 + n // 200)
    assert np.isfinite(mel).all()
    whisper = audio.mel_whisper(samples)
    assert whisper.shape == (80, n // 160)
    assert np.isfinite(whisper).all()
    if 0 < n <= 400:  # followed by zeros, as documented
        padded = audio.mel_wav2lip(np.pad(samples, (0, 401 - n)))
        np.testing.assert_array_equal(mel, padded[:, : mel.shape[1]])


@pytest.mark.parametrize("hops", [2, 7, 255, 256, 257, 300])
def test_a_stretch_has_the_wav2lip_mel_of_the_whole(hops: int) -> None:
    """What lies 401 samples (pre-emphasis looks one back) inside a stretch does not know of its ends."""
    samples = noise(600 * 200 + 37)
    whole, stretch = audio.mel_wav2lip(samples), audio.mel_wav2lip(samples[hops * 200 :])
    np.testing.assert_array_equal(stretch[:, 3:], whole[:, hops + 3 :])


def reference_whisper(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute Whisper's log-mel the slow way: explicit Fourier sums and an explicit filter for each bin."""

    def hertz(mel: float) -> float:
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [hertz(top * k / 81) for k in range(82)]
    padded = np.pad(samples, 200, mode="reflect")
    k, t = np.meshgrid(np.arange(201), np.arange(400), indexing="ij")
    fourier = np.exp(-2j * np.pi * k * t / 400)
    window = np.sin(np.pi * np.arange(400) / 400) ** 2
    columns = len(samples) // 160
    power = np.stack(
        [np.abs(fourier @ (window * padded[c * 160 : c * 160 + 400])) ** 2 for c in range(columns)], axis=1
    )
    mel = np.zeros((80, columns))
    for band in range(80):
        low, centre, high = edges[band : band + 3]
        for b in range(201):
            f = b * 40.0
            weight = min((f - low) / (centre - low), (high - f) / (high - centre))
            mel[band] += max(weight, 0) * 2 / (high - low) * power[b]
    logs = np.log10(np.maximum(mel, 1e-10))
    return (np.maximum(logs, logs.max() - 8) + 4) / 4


@pytest.mark.parametrize("n", [201, 3200, 3333, 47_999])
def test_the_whisper_mel_equals_a_plain_computation(n: int) -> None:
    t = np.arange(n) / 16000
    samples = np.float32(0.4 * np.sin(2 * np.pi * (150 * t + 900 * t * t)) * np.sin(2 * np.pi * 2 * t) ** 2)
    samples += noise(n) * 1e-4
    mel = audio.mel_whisper(samples)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, reference_whisper(samples.astype(np.float64)), atol=2e-6)


def test_the_whisper_mel_of_silence() -> None:
    np.testing.assert_array_equal(audio.mel_whisper(np.zeros(1600, np.float32)), np.full((80, 10), -1.5))


@pytest.mark.parametrize("first", [3, 256, 700])
def test_a_stretch_has_the_whisper_mel_of_the_whole(first: int) -> None:
    samples = noise(1000 * 160) * np.linspace(1e-5, 1, 160_000, dtype=np.float32) ** 4
    whole = audio.mel_whisper(samples)
    peak = audio.whisper_peak(samples)
    np.testing.assert_array_equal(audio.mel_whisper(samples, peak), whole)
    stretch = samples[(first - 2) * 160 : (first + 102) * 160]
    assert audio.whisper_peak(stretch) < peak - 0.1
    np.testing.assert_array_equal(audio.mel_whisper(stretch, peak)[:, 2:102], whole[:, first : first + 100])
