"""The invisible mark in a video: it is found from any beginning, and never where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from lipserve.invisible_mark import read
from lipserve.invisible_mark.cells import CHIP, PERIOD, carriers, cells, places
from lipserve.invisible_mark.code import encode
from lipserve.invisible_mark.read import Levels, Reader

NUMBER = "5a1f03c2"


def seen(
    seconds: float, fps: float, number: str | None, begin: float = 0.0, seed: int = 0, level: float = 1.0
) -> Levels:
    """Return levels of cells [F, K] of a face that moves: a little of the mark, and far more of all else."""
    random = np.random.default_rng(seed)
    count = round(seconds * fps)
    together = np.cumsum(random.normal(0, 1.0, (count, 4)), 0) @ random.normal(0, 1, (4, len(cells())))
    own = np.cumsum(random.normal(0, 0.5, (count, len(cells()))), 0) + random.normal(
        0, 0.5, (count, len(cells()))
    )
    levels = 120 + together + own
    if number is not None:
        chips = ((begin + np.arange(count) / fps) / CHIP + 1e-6).astype(int) % PERIOD
        levels += level * (carriers() * encode(number)[places()])[chips]
    return levels.astype(np.float32)


@pytest.mark.parametrize("fps", [24, 25, 29.97, 60])
@pytest.mark.parametrize("begin", [0.0, 1.23, 4.999])
def test_a_number_is_found_from_any_beginning(fps: float, begin: float) -> None:
    reader = Reader(fps)
    reader.add(1, 0, seen(8.0, fps, NUMBER, begin))
    found = reader.found()
    assert found is not None
    assert found.number == NUMBER
    assert found.score > read.CERTAIN


def test_a_video_without_a_mark_has_none() -> None:
    scores = []
    for seed in range(20):
        soft = read.signs(seen(8.0, 25, None, seed=seed), 0, 25)
        assert read.judge(soft) is None
        agreements = np.sort(read.code.agreement(soft))
        scores.append((agreements[-1] - agreements[:-8].mean()) / agreements[:-8].std())
    assert max(scores) < read.CERTAIN


def test_pieces_are_read_as_one_stretch() -> None:
    levels = seen(8.0, 25, NUMBER)
    whole, joined = Reader(25), Reader(25)
    whole.add(1, 0, levels)
    for first in range(0, 200, 50):
        joined.add(1, first, levels[first : first + 50])
    assert joined.found() == whole.found() is not None


def test_stretches_that_are_too_noisy_alone_are_clear_together() -> None:
    levels = seen(24.0, 25, NUMBER, level=0.3)
    alone, together = [], Reader(25)
    for face, first in enumerate(range(0, 600, 40)):  # every stretch is of another shot
        alone.append(read.judge(read.signs(levels[first : first + 40], first, 25)))
        together.add(face, first, levels[first : first + 40])
        together.close()
    found = together.found()
    assert None in alone
    assert found is not None
    assert found.number == NUMBER


def test_a_cut_result_is_read_from_its_longest_stretch() -> None:
    reader = Reader(25)
    reader.add(1, 0, seen(6.0, 25, NUMBER, begin=3.1, seed=1))
    reader.add(1, 400, seen(12.0, 25, NUMBER, begin=17.7, seed=2))
    found = reader.found()
    assert found is not None
    assert found.number == NUMBER


@pytest.mark.parametrize("levels", [np.zeros((0, 34)), np.full((1, 34), 9.0), np.full((200, 34), 128.0)])
def test_too_little_to_read_is_no_mark(levels: np.ndarray) -> None:
    reader = Reader(25)
    reader.add(1, 0, levels.astype(np.float32))
    assert reader.found() is None
    assert Reader(25).found() is None
