from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.media import probe
from lipserve_training import lips, meter
from lipserve_training.data import sync, track
from lipserve_training.faces import FaceModels

Speech = NDArray[np.float32]
FRAMES = 150


def speech(seed: int, frames: int = FRAMES) -> Speech:
    """Noise whose loudness and colour wander, a few times a second."""
    rng = np.random.default_rng(seed)
    at = np.arange(frames * 640) / 640
    loud, dark = (
        np.interp(at, np.arange(0, frames, 4), rng.uniform(0, 1, -(-frames // 4))) for _ in range(2)
    )
    noise = rng.normal(0, 1, frames * 640)
    low = np.convolve(noise, np.ones(12) / 12, "same")
    return (0.1 * loud * (dark * 3 * low + (1 - dark) * noise)).astype(np.float32)


def lips_of(samples: Speech, frames: int = FRAMES) -> lips.Series:
    """Lips that follow what is heard by a linear law, one of each measure, with a mean of their own."""
    law = np.zeros((143, 4))
    law[65:78] = np.random.default_rng(7).normal(0, 0.02, (13, 4))  # the middle of eleven frames
    return meter.features(samples, frames) @ law + np.array([0.1, 0.3, 0.9, 0.5])


def fitted() -> meter.Meter:
    return meter.fit((lips_of(speech(seed)), speech(seed)) for seed in range(8))


def test_a_linear_law_is_found_and_applied_to_a_speech_it_never_heard() -> None:
    wanted = fitted().predict(speech(99), FRAMES)
    shown = lips_of(speech(99))
    for measure in range(4):
        assert lips.correlation(wanted[:, measure], shown[:, measure]) > 0.97


@pytest.mark.parametrize("lag", [-8, -2, 0, 3, 10])
def test_the_lag_is_positive_where_the_lips_come_later(lag: int) -> None:
    """The speech begins `lag` frames later than the one that the lips belong to."""
    whole = speech(98, FRAMES + 40)
    shown = lips_of(whole, FRAMES + 40)[20 : 20 + FRAMES]
    heard = whole[(20 + lag) * 640 :][: FRAMES * 640]
    verdict = fitted().judge(shown, heard, 10)
    assert verdict.lag == lag
    assert verdict.score > 0.95
    assert (verdict.at_zero > 0.95) == (lag == 0)


def test_a_wrong_speech_scores_low() -> None:
    fit = fitted()
    wrong = [fit.judge(lips_of(speech(90 + i)), speech(80 + i)).at_zero for i in range(8)]
    assert np.abs(np.mean(wrong)) < 0.2


def test_the_one_pass_is_the_ridge_of_the_stacked_clips() -> None:
    clips = [(lips_of(speech(seed, 60 + seed), 60 + seed), speech(seed, 60 + seed)) for seed in range(4)]
    x = np.concatenate([f - f.mean(0) for f in (meter.features(s, len(y)) for y, s in clips)])
    y = np.concatenate([shown - shown.mean(0) for shown, _ in clips])
    x, y = x / x.std(0), y / y.std(0)
    weights = np.linalg.solve(x.T @ x + meter.PENALTY * len(x) * np.eye(143), x.T @ y)
    np.testing.assert_allclose(meter.fit(clips).weights, weights, rtol=1e-6, atol=1e-9)


def test_microphone_and_face_are_not_learnt() -> None:
    """Another gain of the speech, and another resting mouth, are the same clip."""
    clips = [(lips_of(speech(seed)), speech(seed)) for seed in range(4)]
    other = [(shown + 0.2, np.float32(0.5) * samples) for shown, samples in clips]
    np.testing.assert_allclose(meter.fit(other).weights, meter.fit(clips).weights, atol=2e-3)


def test_silence_scores_zero() -> None:
    verdict = meter.shipped().judge(lips_of(speech(1)), np.zeros(FRAMES * 640, np.float32))
    assert verdict == meter.Verdict(0.0, 0, 0.0)


def test_features_cover_every_frame_however_short_the_speech() -> None:
    assert meter.features(speech(1)[:100], 50).shape == (50, 143)
    assert meter.features(speech(1), 50).shape == (50, 143)


def test_no_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="no clip"):
        meter.fit([])


def test_a_fit_comes_back_from_its_file(tmp_path: Path) -> None:
    fit = fitted()
    (tmp_path / "m.npz").write_bytes(fit.to_bytes())
    np.testing.assert_array_equal(meter.load(tmp_path / "m.npz").weights, fit.weights)


S1 = ("bbal7s", "bgbu4p", "bwis8n", "lgam1a", "lriy1s", "bbaz7a", "bbbs6p", "bbil3s", "bbir6n", "bbwg1s")
PEOPLE = ("id2_vcd_swwp2s", "sbia1a", "lbax4n", "brbk7n", "lbbc2a", "lrwp9a", "sbwe5n")


@pytest.mark.slow
def test_real_clips_score_high_at_lag_0_for_a_meter_that_never_heard_them(
    shared_data: Callable[[str], Path], exported: Path
) -> None:
    """Eight people of GRID, a clip of each but for s1: fitted on all but one person, and on s1's others."""

    @lru_cache
    def clip(name: str) -> tuple[lips.Series, Speech]:
        path = shared_data(name)
        info = probe.probe(str(path))
        face, cuts = track.follow(path, info, FaceModels(exported))
        assert face is not None
        (scene,) = track.scenes(face, cuts, info, 10**9)
        return lips.measure(scene.landmarks), sync.heard(audio.load(str(path)), scene, 0)

    own = [clip(f"grid/s1/{name}.mpg") for name in S1]
    people = [clip(f"video/LipNet__{name}.mpg") for name in PEOPLE]
    unknown = []
    for number, (shown, samples) in enumerate(people):
        others = [*own, *people[:number], *people[number + 1 :]]
        unknown.append(meter.fit(others).judge(shown, samples).at_zero)
    heard = [meter.fit([*own[5:], *people]).judge(*one).at_zero for one in own[:5]]
    assert np.mean(unknown) > 0.55  # 0.62
    assert min(unknown) > 0.45  # 0.52
    assert np.mean(heard) > 0.68  # 0.75
    shipped = [meter.shipped().judge(*one).at_zero for one in own[:5]]  # all of them unheard by it
    assert np.mean(shipped) > 0.7
