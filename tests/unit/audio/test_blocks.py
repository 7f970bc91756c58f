"""Blocks of a speech: where they lie, how they fade, and that no cut of the samples is heard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipserve.audio.blocks import Blocks, check
from lipserve.audio.mel import mel_whisper, whisper_peak
from lipserve.errors import InputError
from lipserve.segments import Span

SHAPES = st.sampled_from([(400, 300), (1500, 1500), (50, 30), (10, 10), (8, 5)])


@given(shape=SHAPES, samples=st.integers(0, 4_000_000))
def test_the_shares_of_all_blocks_in_every_row_add_up_to_one(shape: tuple[int, int], samples: int) -> None:
    blocks = Blocks.of_speech(samples, *shape)
    total = np.zeros((blocks.count - 1) * blocks.step + blocks.length)
    for block in range(blocks.count):
        share = blocks.weights(block)
        assert (share > 0).all()
        total[block * blocks.step :][: blocks.length] += share
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert len(total) >= blocks.rows, "they reach the end"
    assert len(total) - blocks.step < max(blocks.rows, blocks.length), "and none lies beyond it"


@given(shape=SHAPES, samples=st.integers(0, 4_000_000), place=st.floats(0, 1))
def test_a_rows_blocks_are_those_that_hold_it(shape: tuple[int, int], samples: int, place: float) -> None:
    blocks = Blocks.of_speech(samples, *shape)
    row = min(blocks.rows - 1, int(place * blocks.rows))
    holding = [b for b in range(blocks.count) if 0 <= row - b * blocks.step < blocks.length]
    assert list(blocks.of(np.array([row]))) == holding
    assert holding


@given(shape=SHAPES, samples=st.integers(1, 4_000_000), place=st.floats(0, 1))
def test_needed_samples_lie_in_the_speech_on_the_hop_of_either_tier(
    shape: tuple[int, int], samples: int, place: float
) -> None:
    blocks = Blocks.of_speech(samples, *shape)
    row = min(blocks.rows - 1, int(place * blocks.rows))
    span = blocks.needed(np.array([row]), samples)
    assert span.first % 160 == span.first % 200 == 0
    assert 0 <= span.first <= span.stop <= samples
    own = blocks.of(np.array([row]))
    assert span.first <= 320 * blocks.step * own.start
    assert span.stop >= min(samples, 320 * (blocks.step * own[-1] + blocks.length))


def test_one_block_fades_into_the_next_evenly() -> None:
    blocks = Blocks(columns=2000, length=8, step=5)
    np.testing.assert_allclose(blocks.weights(0), [1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(blocks.weights(1), [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(blocks.weights(blocks.count - 1)[-3:], 1)


def test_blocks_that_do_not_overlap_fade_nowhere() -> None:
    assert (Blocks(columns=9000, length=1500, step=1500).weights(1) == 1).all()


def test_behind_the_speech_there_is_what_the_caller_says() -> None:
    blocks = Blocks(columns=19, length=8, step=5)
    mel = np.arange(80 * 19, dtype=np.float32).reshape(80, 19)
    last = blocks.mel(mel, 0, 1, -0.5)
    np.testing.assert_array_equal(last[:, :9], mel[:, 10:])
    np.testing.assert_array_equal(last[:, 9:], -0.5)
    np.testing.assert_array_equal(blocks.mel(mel[:, 4:], 4, 1, -0.5), last)


@pytest.mark.parametrize("rows", [np.array([[3, 4], [90, 91]]), np.array([120])])
def test_features_of_a_row_do_not_depend_on_the_stretch(rows: NDArray[np.int64]) -> None:
    """The network tells of each row the mean of its two columns, and how its whole block is."""
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 160 * 333).astype(np.float32)
    blocks, peak = Blocks.of_speech(len(samples), 50, 30), whisper_peak(samples)

    def network(mels: NDArray[np.float32]) -> NDArray[np.float32]:
        own = mels.reshape(len(mels), 80, 50, 2).mean((1, 3))
        return np.stack([own, np.broadcast_to(mels.mean((1, 2))[:, None], own.shape)], -1)

    whole = blocks.faded(rows, samples, 0, peak, -1.0, network)
    assert whole.shape == (*rows.shape, 2)
    span = blocks.needed(rows, len(samples))
    part = blocks.faded(rows, samples[span.first : span.stop], span.first, peak, -1.0, network)
    np.testing.assert_allclose(part, whole, atol=1e-5)
    mel = mel_whisper(samples, peak)
    columns = [mel[:, 2 * row : 2 * row + 2].mean() for row in rows.reshape(-1)]
    np.testing.assert_allclose(whole[..., 0].reshape(-1), columns, atol=1e-5)


def test_a_stretch_that_does_not_hold_what_is_wanted_is_refused() -> None:
    check(Span(1600, 3200), Span(1600, 3200))
    check(Span(0, 9000), Span(1600, 3200))
    for given_, why in (
        (Span(1601, 9000), "off the grid"),
        (Span(3200, 9000), "late"),
        (Span(0, 4799), "short"),
    ):
        with pytest.raises(InputError, match="the frames need others") as caught:
            check(given_, Span(1600, 3200))
        assert "from 0.10 s to 0.30 s, beginning at a multiple of 160" in caught.value.remedy, why
