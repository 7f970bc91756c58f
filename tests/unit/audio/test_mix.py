"""Many channels become two or one: as loud as they were, and never silence where there is sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.mix import Mixer
from lipserve.audio.reader import open_audio

from .loudness import lufs

RATE = 48_000
Samples = NDArray[np.float32]


def voice(seconds: float = 3, seed: int = 0) -> Samples:
    """Return [n] of noise under syllables, at about -20 dB."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    return np.float32(0.1 * rng.standard_normal(len(t)) * (0.3 + np.sin(2 * np.pi * 2.3 * t) ** 2))


def names(layout: str) -> list[str]:
    return [channel.name for channel in av.AudioLayout(layout).channels]


def mix(samples: Samples, layout: str, channels: int) -> Samples:
    """Return [n, channels], mixed in blocks as the reader does."""
    mixer = Mixer(names(layout), RATE, channels)
    return np.concatenate(
        [mixer(samples[first : first + 16_384]) for first in range(0, len(samples), 16_384)]
    )


def only(*channels: str) -> Callable[[str], Samples]:
    return lambda layout: voice()[:, None] * np.float32([name in channels for name in names(layout)])


CONTENTS: dict[str, Callable[[str], Samples]] = {
    "the centre alone": only("FC"),
    "the left alone": only("FL"),
    "one behind": only("BL", "SL"),
    "all alike": lambda layout: np.tile(voice()[:, None], len(names(layout))),
    "all different": lambda layout: np.stack([voice(seed=k) for k in range(len(names(layout)))], axis=1),
    "sides against each other": lambda layout: (
        voice()[:, None] * np.float32([{"FL": 1, "FR": -1}.get(name, 0) for name in names(layout)])
    ),
}


@pytest.mark.parametrize("layout", ["5.1", "5.1(side)", "7.1", "5.0", "3.0", "octagonal"])
@pytest.mark.parametrize("content", CONTENTS)
def test_the_mix_is_as_loud_as_the_source(layout: str, content: str) -> None:
    samples = CONTENTS[content](layout)
    wanted = lufs(samples, RATE, layout)
    assert abs(lufs(mix(samples, layout, 2), RATE, "stereo") - wanted) < 1
    assert abs(lufs(mix(samples, layout, 1), RATE, "mono") - wanted) < 1


def test_channels_that_become_alike_stay_as_loud() -> None:
    """First the centre alone, then all channels alike, then the centre again."""
    samples = np.concatenate([CONTENTS[name]("5.1") for name in ("the centre alone", "all alike")] * 2)
    mixed = mix(samples, "5.1", 2)
    for first in range(0, len(samples), 3 * RATE):
        part = slice(first + RATE // 2, first + 3 * RATE)  # when the mixer has heard of it
        assert abs(lufs(mixed[part], RATE, "stereo") - lufs(samples[part], RATE, "5.1")) < 1


def test_the_deep_channel_is_left_out() -> None:
    assert np.abs(mix(only("LFE")("5.1"), "5.1", 2)).max() == 0


@pytest.mark.parametrize("layout", ["22.2", "7.1.4", "hexadecagonal"])
def test_every_place_is_heard(layout: str) -> None:
    for place in names(layout):
        if not place.startswith("LFE"):
            mixed = mix(only(place)(layout), layout, 1)
            assert np.sqrt(np.mean(mixed**2)) > 0.5 * np.sqrt(np.mean(voice() ** 2)), place


@pytest.mark.parametrize("ratio", [-1.0, -0.8, 1.0])
def test_neither_half_of_stereo_cancels_the_other(ratio: float) -> None:
    samples = voice()[:, None] * np.float32([1, ratio])
    mixed = mix(samples, "stereo", 1)[:, 0]
    np.testing.assert_allclose(mixed, voice() * np.float32((1 + abs(ratio)) / 2), atol=1e-6)


def test_stereo_is_averaged_unless_it_is_against_itself() -> None:
    wide = np.stack([voice(seed=1), voice(seed=2)], axis=1)
    np.testing.assert_allclose(mix(wide, "stereo", 1)[:, 0], wide.mean(axis=1), atol=1e-6)


def test_a_part_that_is_against_itself_is_heard_too() -> None:
    turned = voice(6)[:, None] * np.ones(2, np.float32)
    turned[2 * RATE : 4 * RATE, 1] *= -1
    mixed = mix(turned, "stereo", 1)[:, 0]
    for first in range(6):  # each second, the ones of the change included
        part = slice(first * RATE, (first + 1) * RATE)
        assert np.std(mixed[part]) > 0.6 * np.std(voice(6)[part]), first


@pytest.mark.parametrize("count", [3, 6, 12])
def test_channels_without_places_are_as_loud_as_the_loudest(count: int) -> None:
    samples = voice()[:, None] * np.float32([0] * (count - 1) + [1])
    for channels in (1, 2):
        mixed = mix(samples, f"{count} channels", channels)
        assert (
            abs(
                lufs(mixed, RATE, "mono" if channels == 1 else "stereo") - lufs(samples[:, -1:], RATE, "mono")
            )
            < 0.1
        )


def test_one_and_two_channels_pass_to_the_bit() -> None:
    stereo = np.stack([voice(seed=1), voice(seed=2)], axis=1)
    np.testing.assert_array_equal(mix(stereo, "stereo", 2), stereo)
    np.testing.assert_array_equal(mix(stereo[:, :1], "mono", 1), stereo[:, :1])


def test_silence_stays_silence() -> None:
    assert not mix(np.zeros((RATE, 6), np.float32), "5.1", 2).any()


def test_real_speech_in_the_centre_keeps_its_loudness(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("faults/center51.wav")
    with av.open(str(path)) as container:
        source = np.concatenate([frame.to_ndarray().reshape(-1, 6) for frame in container.decode(audio=0)])
    wanted = lufs(np.float32(source / 32768), RATE, "5.1")
    with open_audio(path) as reader:
        heard = np.concatenate(list(reader.blocks(RATE, 2)), axis=1).T
    assert abs(lufs(heard, RATE, "stereo") - wanted) < 0.1
    assert abs(lufs(audio.load(path, RATE)[:, None], RATE, "mono") - wanted) < 0.1


def test_real_speech_against_itself_is_heard(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("faults/antiphase.wav")
    with open_audio(path) as reader:
        left = np.concatenate(list(reader.blocks(RATE, 2)), axis=1)[0]
    assert np.std(audio.load(path, RATE)) == pytest.approx(np.std(left), rel=0.01)
