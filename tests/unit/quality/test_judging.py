"""What the first stage of a tier that paints tells the last one, of a request's speech and mouths."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.align import RIGID_POINTS, TEMPLATE
from lipserve.errors import InputError, UnavailableError
from lipserve.lipwarp.geometry import CENTRE
from lipserve.quality.judging import Judging, judging
from lipserve.quality.mouths import Rhythm
from lipserve.segments import Span
from tests.support.videos import FULL_HD

INFO = replace(FULL_HD, fps=Fraction(25))


def rows(count: int, first: int = 0, people: int = 1) -> dict[str, NDArray[Any]]:
    """Return the rows of faces of 200 pixels whose unit crop begins at 100, 50; the second at 500."""
    meshes = np.zeros((count * people, 468, 3), np.float32)
    tracks = np.tile(np.arange(people, dtype=np.int32), count)
    meshes[:, RIGID_POINTS, :2] = 200 * TEMPLATE + (100, 50)
    meshes[..., 0] += 400 * tracks[:, None]
    frames = first + np.repeat(np.arange(count, dtype=np.int32), people)
    return {"MESHES": meshes, "TRACKS": tracks, "FRAMES": frames}


class Ears:
    """Networks that ask for the shape i / 10 in the i-th row of 20 ms; they count their calls."""

    calls = 0

    def __call__(self, model: str, inputs: dict[str, NDArray[Any]], outputs: Any = None) -> dict[str, Any]:
        if model == "speech_encoder":
            self.calls += len(inputs["MEL"])
            return {"STATES": np.zeros((len(inputs["MEL"]), 400, 768), np.float32)}
        shapes = np.zeros((len(inputs["STATES"]), 400, 8), np.float32)
        shapes[..., 0] = np.arange(400) / 10
        return {"SHAPES": shapes}


def test_the_mouth_is_where_the_mesh_is_and_only_sampled_rows_travel() -> None:
    given = rows(50, people=2)
    found = judging(None, np.zeros(16_000, np.float32), 0, None, 0.0, given, Span(0, 50), INFO)
    sampled = Rhythm.of(INFO.fps, 50).near(given["FRAMES"])
    assert len(found.places) == sampled.sum() == 28  # every sixth of 50, and beside every 24th
    mouths = Judging.model_validate_json(found.model_dump_json()).mouths(given["FRAMES"], Span(0, 50), INFO)
    for row in np.flatnonzero(sampled):
        corner = (100 + 400 * given["TRACKS"][row], 50)
        middle = [*(200 * np.array(CENTRE) + corner), 1]
        np.testing.assert_allclose(mouths.transforms[row] @ middle, 47.5, atol=0.6)
    assert np.isnan(mouths.asked).all()


@pytest.mark.parametrize(("first_sample", "first_frame"), [(0, 0), (1_600_000 - 4_800, 2500)])
def test_a_frame_is_asked_for_what_is_heard_in_its_middle(first_sample: int, first_frame: int) -> None:
    """Wherever the request lies in its clip: frame i of it is asked for rows 2 i + 1, one block for all."""
    ears, span = Ears(), Span(first_frame, 250)
    samples = np.random.default_rng(1).normal(0, 0.1, 16_000 * 11).astype(np.float32)
    given = rows(250, first_frame)
    found = judging(ears, samples, first_sample, None, 0.0, given, span, INFO)
    assert (ears.calls, len(found.asked), len(found.quiet)) == (1, 188, 188)
    asked = np.array(found.asked)[:, 0]
    steps = np.diff(asked)
    np.testing.assert_allclose(steps, steps[0], rtol=0.02)  # two rows of 20 ms are a frame of 40 ms
    later = judging(Ears(), samples, first_sample, None, 80.0, given, span, INFO)
    np.testing.assert_allclose(np.array(later.asked)[0, 0] - asked[0], 2 * steps[0], rtol=0.02)
    mouths = found.mouths(given["FRAMES"], span, INFO)
    assert np.isfinite(mouths.asked[:188]).all()
    assert np.isnan(mouths.asked[188:]).all()
    assert mouths.stop == first_frame + 188


def test_networks_that_do_not_answer_cost_the_comparison_alone() -> None:
    def gone(*_: Any) -> Any:
        raise UnavailableError("The model lip_motion is being restarted.", "Try again in a few seconds.")

    found = judging(gone, np.zeros(16_000, np.float32), 0, None, 0.0, rows(10), Span(0, 10), INFO)
    assert found.unheard == "the networks that hear the speech did not answer"
    assert (found.asked, len(found.tracks)) == ([], 10)


@pytest.mark.parametrize(
    "change",
    [
        {"tracks": [0] * 9},
        {"places": []},
        {"places": [(0.0, 0.0, 1.0, 0.0, 0.0, 1.0)] * 3},
    ],
)
def test_rows_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    given = rows(10)
    found = judging(None, np.zeros(16_000, np.float32), 0, None, 0.0, given, Span(0, 10), INFO)
    assert len(found.places) == 3
    with pytest.raises(InputError, match="CONTEXT"):
        found.model_copy(update=change).mouths(given["FRAMES"], Span(0, 10), INFO)
