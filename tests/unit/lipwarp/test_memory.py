"""Which mouths are kept, and which of them a frame is made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import SHAPES
from lipserve.lipwarp.memory import BESIDE, MEMORIES, beside, choose

Series = NDArray[np.float64]
KEPT = np.random.default_rng(5).normal(0, [0.4, 0.2, 0.1, 0.1, 0, 0, 0, 0], (MEMORIES, SHAPES))


def series(count: int = 60) -> Series:
    return np.random.default_rng(9).normal(0, [0.4, 0.2, 0.1, 0.1, 0.1, 0, 0, 0], (count, SHAPES))


def by_memory(wanted: Series, kept: Series = KEPT) -> Series:
    """Return the share of every remembered mouth [F, R]."""
    which, shares = beside(wanted, kept)
    assert (which.dtype, shares.dtype, which.shape) == (np.int32, np.float32, (len(wanted), BESIDE))
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert (shares >= 0).all()
    out = np.zeros((len(wanted), len(kept)))
    np.add.at(out, (np.arange(len(wanted))[:, None], which), shares)
    return out


def test_the_most_open_mouth_comes_first_and_every_choice_is_the_same_again() -> None:
    shapes = series()
    chosen = choose(shapes, np.ones(60))
    assert chosen[0] == shapes[:, 0].argmax()
    assert len(chosen) == len(set(chosen.tolist())) == MEMORIES
    np.testing.assert_array_equal(choose(shapes, np.ones(60)), chosen)


def test_each_next_one_is_the_farthest_from_those_before() -> None:
    shapes = series()
    chosen = choose(shapes, np.ones(60))
    places = shapes[:, :4]
    for count in range(1, MEMORIES):
        distance = np.linalg.norm(places[:, None] - places[chosen[:count]], axis=-1).min(1)
        assert chosen[count] == distance.argmax()


def test_of_mouths_that_are_alike_the_better_picture_is_kept() -> None:
    shapes = np.zeros((4, SHAPES))
    shapes[:, 0] = 1.0, 1.0, 0.0, 0.0
    np.testing.assert_array_equal(choose(shapes, np.array([0.2, 0.9, 0.8, 0.1])), [1, 2])


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (3, 3)])
def test_few_frames_are_all_that_there_is(count: int, kept: int) -> None:
    assert len(choose(series(count), np.ones(count))) == kept


def test_a_mouth_that_never_changes_is_remembered_once() -> None:
    np.testing.assert_array_equal(choose(np.zeros((20, SHAPES)), np.ones(20)), [0])


def test_a_remembered_shape_is_made_of_its_own_mouth() -> None:
    np.testing.assert_allclose(by_memory(KEPT).max(1), np.diag(by_memory(KEPT)))
    assert np.diag(by_memory(KEPT)).min() > 0.5


def test_a_share_that_nobody_would_see_is_none() -> None:
    """The other one has the whole, so nothing gets darker; the first always has the larger one."""
    shares = np.concatenate(
        [beside(KEPT + step * (KEPT[0] - KEPT), KEPT)[1] for step in np.linspace(0, 1, 99)]
    )
    assert (shares[:, 1] == 0).sum() > 8
    assert shares[shares > 0].min() >= 1 / 512
    np.testing.assert_array_equal(shares[shares[:, 1] == 0, 0], 1)
    assert (shares[:, 0] >= shares[:, 1]).all()


def test_the_only_mouth_has_the_whole_share() -> None:
    which, shares = beside(series(5), KEPT[:1])
    np.testing.assert_array_equal(which, 0)
    np.testing.assert_array_equal(shares, np.tile([1, 0], (5, 1)))


def test_between_two_mouths_the_shares_are_even() -> None:
    middle = KEPT[:2].mean(0, keepdims=True)
    np.testing.assert_allclose(by_memory(middle, KEPT[:2]), [[0.5, 0.5]], atol=1e-6)


def test_a_mouth_has_gone_where_a_third_becomes_as_near() -> None:
    """On a line over three places, at the point that is as far from the second as from the third."""
    kept = np.zeros((3, SHAPES))
    kept[:, 0] = 0.0, 1.0, -0.8
    tie = np.zeros((1, SHAPES))
    tie[0, 0] = 0.1  # 0.9 from either
    assert by_memory(tie, kept)[0] == pytest.approx([1, 0, 0], abs=1e-6)


@given(st.integers(0, 10_000))
def test_no_mouth_appears_at_once(seed: int) -> None:
    """On any straight way through the shapes, looked at closely where a share changes most."""
    rng = np.random.default_rng(seed)
    begin, end = rng.normal(0, [0.4, 0.2, 0.1, 0.1, 0, 0, 0, 0], (2, SHAPES))
    for _ in range(5):
        way = begin + np.linspace(0, 1, 101)[:, None] * (end - begin)
        jumps = np.abs(np.diff(by_memory(way), axis=0)).max(1)
        begin, end = way[jumps.argmax()], way[jumps.argmax() + 1]
    assert jumps.max() < 0.01
