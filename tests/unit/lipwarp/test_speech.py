"""Speech to shapes: what is heard depends neither on the frames asked for together nor on a cut."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.audio import whisper_peak
from lipserve.contracts.lipwarp import ROWS, SHAPES
from lipserve.errors import InputError
from lipserve.lipwarp.speech import STEP, heard, needed
from lipserve.segments import Span
from tests.unit.lipwarp.people import Networks

FPS = Fraction(25)
LONG = 30 * 16_000


def speech(samples: int = LONG) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    t = np.arange(samples) / 16_000
    tone = np.sin(2 * np.pi * (200 + 80 * np.sin(t)) * t) * (0.2 + 0.2 * np.sin(7 * t) * np.sin(0.3 * t))
    return np.asarray(tone + rng.normal(0, 0.003, samples), np.float32)


def told(
    samples: NDArray[np.float32],
    frames: NDArray[np.int64],
    fps: Fraction = FPS,
    offset: float = 0,
    leaves: Networks | None = None,
) -> NDArray[np.float32]:
    peak = whisper_peak(samples)
    return heard(leaves or Networks(), samples, 0, len(samples), peak, frames, fps, offset)


class Rows(Networks):
    """Stands for leaves that say of each row where it lies in its block."""

    def __call__(self, model: str, inputs: dict[str, NDArray], outputs: object = None) -> dict[str, NDArray]:
        self.batches.append((model, len(next(iter(inputs.values())))))
        if model == "speech_encoder":
            return {"STATES": np.zeros((len(inputs["MEL"]), ROWS, 768), np.float32)}
        place = np.broadcast_to(
            np.arange(ROWS, dtype=np.float32)[None, :, None], (len(inputs["STATES"]), ROWS, SHAPES)
        )
        return {"SHAPES": place}


def test_a_frame_hears_the_middle_of_its_time() -> None:
    """At 25 frames a second frame i lies at row 2 i + 1, at others between two rows."""
    shapes = told(speech(4 * 16_000), np.arange(100), leaves=Rows())
    assert (shapes.shape, shapes.dtype) == ((100, SHAPES), np.float32)
    np.testing.assert_allclose(shapes[:, 0], 2 * np.arange(100) + 1, atol=1e-4)
    shapes = told(speech(4 * 16_000), np.arange(110), Fraction(30000, 1001), leaves=Rows())
    np.testing.assert_allclose(shapes[:, 3], (np.arange(110) + 0.5) * 50 * 1001 / 30000, atol=1e-3)


@pytest.mark.parametrize(("offset", "rows"), [(40.0, 2.0), (-500.0, -25.0), (10.0, 0.5)])
def test_an_offset_hears_later_or_earlier(offset: float, rows: float) -> None:
    """Positive: the mouth moves earlier, so a frame hears what comes later."""
    frames = np.arange(20, 60)
    shapes = told(speech(4 * 16_000), frames, offset=offset, leaves=Rows())
    np.testing.assert_allclose(shapes[:, 0], 2 * frames + 1 + rows, atol=1e-4)


def test_before_the_first_row_and_after_the_last_one_these_are_heard() -> None:
    shapes = told(speech(16_000), np.array([0, 24, 40, 9000]), offset=-200.0, leaves=Rows())
    np.testing.assert_allclose(shapes[:, 0], [0, 39, 49, 49], atol=1e-4)


def test_any_frames_asked_for_alone_are_what_they_are_among_others() -> None:
    samples = speech()
    whole = told(samples, np.arange(750))
    for frames in (np.arange(140, 170), np.array([0]), np.array([749]), np.array([3, 150, 151, 600])):
        np.testing.assert_array_equal(told(samples, frames), whole[frames])


@pytest.mark.parametrize("offset", [0.0, 333.0, -500.0])
@pytest.mark.parametrize("first", [0, 100, 149, 600])
def test_the_needed_stretch_says_what_the_whole_speech_says(first: int, offset: float) -> None:
    samples, span = speech(), Span(first, 100)
    stretch = needed(span, FPS, len(samples), offset)
    assert stretch.first % 800 == 0
    assert stretch.first + stretch.count <= len(samples)
    frames = np.arange(span.first, span.stop)
    part = heard(
        Networks(),
        samples[stretch.first : stretch.stop],
        stretch.first,
        len(samples),
        whisper_peak(samples),
        frames,
        FPS,
        offset,
    )
    np.testing.assert_allclose(part, told(samples, np.arange(750), offset=offset)[frames], atol=1e-5)


def test_more_than_is_needed_changes_nothing_and_less_is_refused() -> None:
    samples, frames = speech(), np.arange(300, 320)
    stretch, peak = needed(Span(300, 20), FPS, LONG, 0.0), whisper_peak(samples)
    whole = told(samples, frames)
    begin = stretch.first - 1600
    more = heard(Networks(), samples[begin:], begin, LONG, peak, frames, FPS, 0.0)
    np.testing.assert_allclose(more, whole, atol=1e-5)
    for wrong in (
        (samples[stretch.first + 800 : stretch.stop], stretch.first + 800),
        (samples[stretch.first : stretch.stop - 1], stretch.first),
        (samples[stretch.first + 1 : stretch.stop], stretch.first + 1),
        (samples[:0], 0),
    ):
        with pytest.raises(InputError, match="the frames need others") as caught:
            heard(Networks(), *wrong, LONG, peak, frames, FPS, 0.0)
        assert "Send the samples from" in caught.value.remedy


def test_a_block_reaches_eight_seconds_and_the_next_begins_six_later() -> None:
    assert (ROWS, STEP) == (400, 300)
    leaves = Networks()
    told(speech(), np.arange(750), leaves=leaves)
    assert leaves.batches == [("speech_encoder", 5), ("lip_motion", 5)]
    leaves = Networks()
    told(speech(), np.arange(10), leaves=leaves)
    assert leaves.batches == [("speech_encoder", 1), ("lip_motion", 1)]


def test_a_long_speech_is_heard_in_several_calls() -> None:
    leaves = Networks()
    samples = np.tile(speech(), 3)
    told(samples, np.arange(0, 2250, 50), leaves=leaves)
    assert [count for model, count in leaves.batches if model == "speech_encoder"] == [8, 7]


@pytest.mark.parametrize("samples", [1, 159, 160, 400, 16_000])
def test_a_speech_however_short_moves_every_frame(samples: int) -> None:
    shapes = told(speech(samples), np.arange(3))
    assert shapes.shape == (3, SHAPES)
    assert np.isfinite(shapes).all()


def test_silence_is_one_shape() -> None:
    """Also where it ends: what stands after the speech is what silence is beside that peak."""
    shapes = told(np.zeros(16_000, np.float32), np.arange(25))
    np.testing.assert_allclose(shapes, shapes[:1].repeat(25, 0), atol=1e-5)
