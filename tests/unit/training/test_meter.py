from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.lipwarp.shapes import shipped_basis
from lipserve.media import probe
from lipserve.quality import lips
from lipserve_training import meter
from lipserve_training.data import sync, track
from lipserve_training.faces import FaceModels

Speech = NDArray[np.float32]
FRAMES = 150


def speech(seed: int, frames: int = FRAMES) -> Speech:
    """A voice of sorts: a buzz whose loudness and formants wander, a few times a second."""
    rng = np.random.default_rng(seed)
    at = np.arange(frames * 640) / 640
    loud, dark = (
        np.interp(at, np.arange(0, frames, 4), rng.uniform(0, 1, -(-frames // 4))) for _ in range(2)
    )
    buzz = np.sign(np.sin(2 * np.pi * 120 * at / 25)) + 0.1 * rng.normal(0, 1, frames * 640)
    low = np.convolve(buzz, np.ones(12) / 12, "same")
    return (0.1 * loud * (dark * 3 * low + (1 - dark) * buzz)).astype(np.float32)


@pytest.fixture(scope="module")
def own() -> meter.Meter:
    return meter.shipped()


def test_shapes_change_the_measures_as_the_mesh_shows(
    talking: Callable[[NDArray[np.float64]], NDArray[np.float32]],
) -> None:
    """Each direction by itself: what the measures of the moved mesh say is what the table says."""
    table = lips.measured(shipped_basis())
    assert table.shape == (8, 4)
    still = lips.measure(talking(np.zeros((1, 8)) + 0.2 * np.eye(8)[0]))[0]
    for direction in range(8):
        moved = talking(0.2 * np.eye(8)[[0]] + 0.05 * np.eye(8)[[direction]])
        change = (lips.measure(moved)[0] - still) / 0.05
        np.testing.assert_allclose(change, table[direction], atol=0.03)


@pytest.mark.parametrize("lag", [-8, 0, 3])
def test_the_lag_is_positive_where_the_lips_come_later(lag: int, own: meter.Meter) -> None:
    """Lips as they are heard in a longer speech, of which the sound is cut `lag` frames later."""
    whole = speech(98, FRAMES + 40)
    shown = own.predict(whole, FRAMES + 40)[20 : 20 + FRAMES]
    shown += np.array([0.1, 0.3, 0.9, 0.5])  # a face of its own
    verdict = own.judge(shown, whole[(20 + lag) * 640 :][: FRAMES * 640], 10)
    assert verdict.lag == lag
    assert verdict.score > 0.75  # what is heard depends on what was before, and here that is cut off
    assert (verdict.at_zero > 0.75) == (lag == 0)


def test_a_wrong_speech_scores_low(own: meter.Meter) -> None:
    shown = own.predict(speech(1), FRAMES)
    wrong = [own.judge(shown, speech(80 + i)).at_zero for i in range(6)]
    assert abs(float(np.mean(wrong))) < 0.25


def test_silence_and_lips_that_never_move_score_zero(own: meter.Meter) -> None:
    shown = own.predict(speech(1), FRAMES)
    hiss = 0.01 * np.random.default_rng(0).standard_normal(FRAMES * 640)
    for sound in (np.zeros(FRAMES * 640), hiss):
        assert own.judge(shown, sound.astype(np.float32)) == meter.Verdict(0.0, 0, 0.0)
    assert own.judge(np.ones((FRAMES, 4)), speech(1)) == meter.Verdict(0.0, 0, 0.0)


@pytest.mark.parametrize("samples", [0, 100, 640 * 20])
def test_every_frame_is_heard_however_short_the_speech(samples: int, own: meter.Meter) -> None:
    made = own.predict(speech(1)[:samples], 50)
    assert made.shape == (50, 4)
    assert np.isfinite(made).all()


def test_a_speech_longer_than_a_block_is_heard_whole(own: meter.Meter) -> None:
    long = speech(5, 300)
    whole, part = own.predict(long, 300), own.predict(long[: 640 * 150], 150)
    for measure in range(4):
        assert lips.correlation(whole[:100, measure], part[:100, measure]) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lag", "least"),
    [("LipNet__sbia1a.mpg", 0, 0.8), ("LipNet__lrwp9a.mpg", 0, 0.75), ("video-retalking__2.mp4", -1, 0.55)],
)
def test_people_who_were_never_trained_on(
    name: str, lag: int, least: float, own: meter.Meter, shared_data: Callable[[str], Path], exported: Path
) -> None:
    path = shared_data(f"video/{name}")
    info = probe.probe(str(path))
    face, cuts = track.follow(path, info, FaceModels(exported))
    assert face is not None
    (scene,) = track.scenes(face, cuts, info, 10**9)
    verdict = own.judge(lips.measure(scene.landmarks), sync.heard(audio.load(str(path)), scene, 0))
    assert abs(verdict.lag - lag) <= 1
    assert verdict.score > least  # 0.88, 0.83, 0.64
