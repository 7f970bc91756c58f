from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray

from lipserve_training import mfcc as module
from lipserve_training.mfcc import mfcc


def by_definition(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """MFCC step by step as python_speech_features 0.6 documents its defaults, of int16 values at 16 kHz."""
    emphasised = [signal[0]] + [signal[i] - 0.97 * signal[i - 1] for i in range(1, len(signal))]
    count = 1 if len(signal) <= 400 else 1 + math.ceil((len(signal) - 400) / 160)
    padded = np.array(emphasised + [0.0] * (count * 160 + 400))

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    points = [mel(0) + i * (mel(8000) - mel(0)) / 27 for i in range(28)]
    bins = [math.floor(513 * (700 * (10 ** (point / 2595) - 1)) / 16000) for point in points]
    bank = np.zeros((26, 257))
    for j in range(26):
        for i in range(bins[j], bins[j + 1]):
            bank[j, i] = (i - bins[j]) / (bins[j + 1] - bins[j])
        for i in range(bins[j + 1], bins[j + 2]):
            bank[j, i] = (bins[j + 2] - i) / (bins[j + 2] - bins[j + 1])
    rows = []
    for frame in range(count):
        part = padded[160 * frame : 160 * frame + 400]
        turns = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
        power = np.abs(turns @ part) ** 2 / 512
        logs = np.log(bank @ power)
        row = []
        for k in range(13):
            total = sum(logs[n] * math.cos(math.pi * k * (2 * n + 1) / 52) for n in range(26))
            scaled = total * math.sqrt((1 if k == 0 else 2) / 26)
            row.append(scaled * (1 + 11 * math.sin(math.pi * k / 22)))
        row[0] = math.log(power.sum())
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("length", [400, 401, 3200, 3500])
def test_mfcc_follow_the_published_definition(length: int) -> None:
    integers = np.random.default_rng(length).integers(-9000, 9000, length).astype(np.float64)
    expected = by_definition(integers)
    found = mfcc((integers / 32768).astype(np.float32))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_digital_silence_is_finite() -> None:
    assert np.isfinite(mfcc(np.zeros(16000, np.float32))).all()


def test_its_dct_is_scipys_lifted() -> None:
    lifter = 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    expected = scipy.fft.dct(np.eye(26), type=2, norm="ortho")[:, :13] * lifter
    np.testing.assert_allclose(module._dct().T, expected, atol=1e-12)
