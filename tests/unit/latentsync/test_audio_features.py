"""The features against the published recipe, with an encoder that is small but hears its whole block."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.audio import blocks
from lipserve.audio.mel import mel_whisper, whisper_peak
from lipserve.errors import InputError
from lipserve.latentsync.audio_features import features, needed

Features = NDArray[np.float32]
FPS = Fraction(25)
_RNG = np.random.default_rng(11)
_INTO = _RNG.normal(0, 0.2, (160, 32)).astype(np.float32)
_BETWEEN = _RNG.normal(0, 0.2, (4, 32, 32)).astype(np.float32)
_PLACE = np.sin(np.arange(1500)[:, None] * np.exp(-np.arange(32) / 5)).astype(np.float32)


def encode(mel: Features) -> Features:
    """Mel [80, 3000] to states [1500, 5, 384]: of pairs of columns, their place, neighbours and the whole."""
    x = np.tanh(mel.T.reshape(1500, 160) @ _INTO) + _PLACE
    states = [x]
    for matrix in _BETWEEN:
        near = (x + np.roll(x, 1, 0) + np.roll(x, -1, 0)) / 3 + x.mean(0)
        x = x + np.tanh(near @ matrix)
        states.append(x)
    return np.tile(np.stack(states, 1), 12)


class Encoder:
    """Stands for the leaf, and counts how it is called."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        assert model == "whisper_encoder"
        mels = inputs["MEL"]
        assert (mels.shape[1:], mels.dtype) == ((80, 3000), np.float32)
        self.batches.append(len(mels))
        return {"STATES": np.stack([encode(mel) for mel in mels])}


def speech(seconds: float) -> Features:
    rng = np.random.default_rng(5)
    t = np.arange(round(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * (200 + 80 * np.sin(t)) * t) * (0.2 + 0.2 * np.sin(7 * t) * np.sin(0.3 * t))
    return np.asarray(tone + rng.normal(0, 0.003, len(t)), np.float32)


def whole(
    samples: Features, frames: int, fps: Fraction = FPS, offset: float = 0, ref: bool = False
) -> Features:
    return features(Encoder(), samples, 0, len(samples), whisper_peak(samples), 0, frames, fps, offset, ref)


def published(samples: Features, frames: int, fps: Fraction) -> Features:
    """Steps 4 to 8 of the recipe, as it tells them."""
    mel = mel_whisper(samples)
    rows = []
    for start in range(0, mel.shape[1], 3000):
        end = min(start + 3000, mel.shape[1])
        block = np.zeros((80, 3000), np.float32)
        block[:, : end - start] = mel[:, start:end]
        rows.append(encode(block)[: (end - start) // 2])
    array = np.concatenate(rows)
    out = []
    for i in range(frames):
        centre = int(i * 50 / fps)
        picked = [array[min(max(k, 0), len(array) - 1)] for k in range(centre - 4, centre + 6)]
        out.append(np.concatenate(picked))
    return np.array(out)


@pytest.mark.parametrize(
    "seconds", [0.05, 9.6, 30.0, 30.03, pytest.param(65.5, marks=pytest.mark.whole)]
)  # three blocks: below
def test_reference_features_are_the_published_ones(seconds: float) -> None:
    samples = speech(seconds)
    frames = len(samples) // 320 // 2 + 2  # as many as upstream makes
    found = whole(samples, frames, ref=True)
    assert (found.shape, found.dtype) == ((frames, 50, 384), np.float32)
    np.testing.assert_allclose(found, published(samples, frames, FPS), atol=2e-5)


def test_other_rates_hear_what_is_said_at_their_time() -> None:
    samples = speech(12)
    for fps in (Fraction(30), Fraction(50, 3), Fraction(100)):
        found = whole(samples, 90, fps, ref=True)
        np.testing.assert_allclose(found, published(samples, 90, fps), atol=2e-5)


@pytest.mark.parametrize("seconds", [0.01, 4.0, 29.5, 30.0])
def test_speech_of_one_block_is_heard_as_upstream_does(seconds: float) -> None:
    samples = speech(seconds)
    frames = max(1, round(seconds * 25))
    np.testing.assert_array_equal(whole(samples, frames), whole(samples, frames, ref=True))


def test_a_block_fades_into_the_next() -> None:
    """Over 20 s to 30 s of the clip; what a row of the middle hears is the mean of two blocks."""
    samples = speech(48)
    mel = mel_whisper(samples)
    second = np.zeros((80, 3000), np.float32)
    second[:, :2800] = mel[:, 2000:4800]
    first_states, second_states = encode(mel[:, :3000]), encode(second)
    found = whole(samples, 1200).reshape(1200, 10, 5, 384)[:, 4]  # row 2 i
    np.testing.assert_allclose(found[:500], first_states[:1000:2], atol=2e-5)
    np.testing.assert_allclose(found[750:], second_states[500:1400:2], atol=2e-5)
    middle = (first_states[1250] + second_states[250]) / 2
    np.testing.assert_allclose(found[625], middle, atol=0.02)
    for row in range(1000, 1500, 2):
        share = (row - 999) / 501
        mixed = (1 - share) * first_states[row] + share * second_states[row - 1000]
        np.testing.assert_allclose(found[row // 2], mixed, atol=2e-5)


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(("seconds", "step"), [(8.0, 64), (62.313, 320)])
def test_segments_hear_what_the_whole_clip_hears(seconds: float, step: int, reference: bool) -> None:
    samples = speech(seconds)
    frames, peak = round(seconds * 25), whisper_peak(samples)
    all_at_once = whole(samples, frames, offset=-35.0, ref=reference)
    for begin in range(0, frames, step):
        end = min(begin + step, frames)
        span = needed(begin, end, FPS, -35.0, len(samples), reference)
        assert span.first % 800 == 0
        assert span.stop <= len(samples)
        assert span.count <= (60.1 if reference else 50.1) * 16_000
        part = samples[span.first : span.stop]
        found = features(Encoder(), part, span.first, len(samples), peak, begin, end, FPS, -35.0, reference)
        np.testing.assert_allclose(found, all_at_once[begin:end], atol=2e-5)


def test_more_speech_than_needed_changes_nothing() -> None:
    samples = speech(75)
    span = needed(900, 964, FPS, 0, len(samples), False)
    early = span.first - 160 * 37
    found = features(
        Encoder(), samples[early:], early, len(samples), whisper_peak(samples), 900, 964, FPS, 0, False
    )
    np.testing.assert_allclose(found, whole(samples, 964)[900:], atol=2e-5)


def test_an_offset_is_heard_later_by_rows_of_20_ms() -> None:
    samples = speech(6)
    plain, moved = whole(samples, 150), whole(samples, 150, offset=80.0)
    np.testing.assert_array_equal(moved[:-2], plain[2:])
    np.testing.assert_array_equal(whole(samples, 150, offset=9.0), plain)
    np.testing.assert_array_equal(whole(samples, 150, offset=-60_000.0)[149], plain[0][[*range(5)] * 10])


def test_the_encoder_is_called_with_eight_blocks_at_most() -> None:
    samples = np.tile(speech(10), 20)  # 200 s: 9.5 blocks, and one more begun
    encoder = Encoder()
    features(encoder, samples, 0, len(samples), whisper_peak(samples), 0, 5000, FPS, 0, False)
    assert encoder.batches == [8, 2]
    encoder = Encoder()
    features(encoder, samples, 0, len(samples), whisper_peak(samples), 0, 700, FPS, 0, False)
    assert encoder.batches == [2]  # nothing is encoded that nobody hears


def test_speech_that_does_not_hold_what_the_frames_need_is_refused() -> None:
    samples = speech(70)
    arguments: tuple[Any, ...] = (len(samples), 0.0, 1000, 1064, FPS, 0.0, False)
    for first, stop in ((320_800, 1_120_000), (319_201, 1_120_000), (319_200, 1_000_000)):
        with pytest.raises(InputError, match="need others"):
            features(Encoder(), samples[first:stop], first, *arguments)


def test_needed_grows_by_blocks_only() -> None:
    total = 16_000 * 3600
    assert (needed(0, 64, FPS, 0, total, False).first, needed(0, 64, FPS, 0, total, False).stop) == (
        0,
        480_800,
    )
    late = needed(50_000, 50_064, FPS, 0, total, False)  # rows 99,996 to 100,131: blocks 99 and 100
    assert (late.first, late.stop) == (99 * 320_000 - 800, 100 * 320_000 + 480_000 + 800)
    assert blocks.MARGIN % 200 == blocks.MARGIN % 160 == 0
