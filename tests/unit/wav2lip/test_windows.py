from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lipserve.segments import Span
from lipserve.wav2lip.windows import HOP, SILENCE, mel_starts, mel_windows, needed

RATES = st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60)])


def test_starts_follow_the_inference_rule() -> None:
    frames = np.arange(250, dtype=np.int32)
    assert mel_starts(frames, Fraction(25))[:6].tolist() == [0, 3, 6, 9, 12, 16]
    assert mel_starts(frames, Fraction(30)).tolist() == [int(i * 80 / 30) for i in range(250)]
    # floor(80 i / fps) in exact arithmetic: 2997 frames of 29.97 fps are 100 s, less 0.1 frame
    assert mel_starts(np.array([2997], np.int32), Fraction(30000, 1001)).tolist() == [7999]
    assert mel_starts(frames[:2], Fraction(25), offset_ms=50).tolist() == [4, 7]


def test_windows_are_the_columns_and_silence_lies_around() -> None:
    mel = np.arange(80 * 20, dtype=np.float32).reshape(80, 20)
    windows = mel_windows(mel, np.array([0, 3, 10, -2, 40]))
    assert windows.shape == (5, 1, 80, 16)
    np.testing.assert_array_equal(windows[1, 0], mel[:, 3:19])
    np.testing.assert_array_equal(windows[2, 0, :, :10], mel[:, 10:])
    assert (windows[2, 0, :, 10:] == SILENCE).all()
    assert (windows[3, 0, :, :2] == SILENCE).all()
    np.testing.assert_array_equal(windows[3, 0, :, 2:], mel[:, :14])
    assert (windows[4] == SILENCE).all()


def test_a_speech_shorter_than_a_window_is_padded() -> None:
    windows = mel_windows(np.zeros((80, 3), np.float32), np.array([0]))
    assert (windows[0, 0, :, :3] == 0).all()
    assert (windows[0, 0, :, 3:] == SILENCE).all()


@given(st.integers(0, 10_000), st.integers(1, 300), RATES, st.integers(1, 10_000_000), st.floats(-500, 500))
def test_a_stretch_of_speech_begins_on_a_mel_column_and_holds_what_is_heard(
    first: int, count: int, fps: Fraction, samples: int, offset: float
) -> None:
    span = needed(Span(first, count), fps, samples, offset)
    assert span.first % HOP == 0
    assert 0 <= span.first < samples
    assert span.first < span.stop <= samples
    heard_from = (float(first / fps) + offset / 1000) * 16000 - 400
    heard_to = (float((first + count - 1) / fps) + offset / 1000 + 0.2) * 16000 + 400
    if heard_from >= 0 and heard_to <= samples:
        assert span.first <= heard_from
        assert span.stop >= heard_to
