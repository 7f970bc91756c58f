"""The sound of a result with several speeches, a background, and a loudness."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.loudness import RATE, SILENT, integrated
from lipserve.audio.places import Voice
from lipserve.audio.soundtrack import Sound, _read, soundtrack


def tone(seconds: float, hertz: float, level: float = 0.1) -> bytes:
    time = np.arange(round(seconds * 16_000)) / 16_000
    return audio.wav((level * np.sin(2 * np.pi * hertz * time)).astype(np.float32))


def mixed(sound: Sound, seconds: float) -> NDArray[np.float32]:
    with soundtrack(sound, seconds) as path:
        return audio.load(path, RATE)


def share(samples: NDArray[np.float32], start: float, end: float, hertz: float) -> float:
    """Return the level in dB of a tone within a stretch."""
    part = samples[round(start * RATE) : round(end * RATE)]
    time = np.arange(len(part)) / RATE
    amplitude = 2 * abs(np.mean(part * np.exp(-2j * np.pi * hertz * time)))
    return float(20 * np.log10(max(amplitude, 1e-9)))


def test_each_speech_is_heard_in_its_place_and_nowhere_else() -> None:
    one, two = tone(4, 300), tone(4, 700)
    samples = mixed(Sound([Voice(one, 1.0, 1.0, 3.0), Voice(two, 2.0, 4.0, 6.0)]), 8.0)
    assert len(samples) == 8 * RATE
    assert share(samples, 1.1, 2.9, 300) == pytest.approx(-20, abs=0.3)
    assert share(samples, 4.1, 5.9, 700) == pytest.approx(-20, abs=0.3)
    for start, end in ((0, 0.95), (3.05, 3.95), (6.05, 8)):
        assert np.abs(samples[round(start * RATE) : round(end * RATE)]).max() < 1e-3
    assert share(samples, 1.1, 2.9, 700) < -60


def test_a_speech_that_has_gone_by_in_part_is_heard_from_there() -> None:
    ramp = audio.wav(np.linspace(0, 0.8, 64_000, dtype=np.float32))  # 4 s
    samples = mixed(Sound([Voice(ramp, -1.0, 0.0, 2.0)]), 2.0)
    assert samples[RATE] == pytest.approx(0.4, abs=0.01)


def test_the_videos_own_sound_is_heard_where_nobody_speaks() -> None:
    samples = mixed(Sound([Voice(tone(2, 300), 1.0, 1.0, 3.0)], own=tone(6, 1000)), 6.0)
    assert share(samples, 0.1, 0.9, 1000) == pytest.approx(-20, abs=0.3)
    assert share(samples, 3.1, 5.9, 1000) == pytest.approx(-20, abs=0.3)
    assert share(samples, 1.1, 2.9, 1000) < -60


def test_a_background_steps_back_while_somebody_speaks_and_is_repeated() -> None:
    sound = Sound([Voice(tone(2, 300), 2.0, 2.0, 4.0)], background=tone(1.5, 1000, 0.2), background_lufs=-30)
    samples = mixed(sound, 8.0)
    before, under, after = (share(samples, *at, 1000) for at in ((0.5, 1.4), (2.5, 2.9), (6.1, 7.4)))
    assert before == pytest.approx(-30, abs=0.6)
    assert after == pytest.approx(before, abs=0.6)
    assert under < before - 6
    assert share(samples, 2.5, 3.5, 300) == pytest.approx(-20, abs=0.3)


def test_a_loudness_is_reached_and_peaks_are_held() -> None:
    with soundtrack(Sound([Voice(tone(5, 300, 0.02), 0.0, 0.0, 5.0)], loudness=-16.0), 5.0) as path:
        assert integrated(_read(path)) == pytest.approx(-16, abs=0.2)
    loud = mixed(Sound([Voice(tone(3, 300, 0.9), 0.0, 0.0, 3.0)], loudness=-1.0), 3.0)
    assert np.abs(loud[RATE // 2 :]).max() <= 0.9


def test_silence_has_no_loudness_and_stays_silent() -> None:
    silence = audio.wav(np.zeros(32_000, np.float32))
    assert integrated(iter([np.zeros((2, RATE), np.float32)])) == SILENT
    assert not mixed(Sound([Voice(silence, 0, 0, 2)], loudness=-16.0), 2.0).any()
