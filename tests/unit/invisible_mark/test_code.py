"""The code of the invisible mark: numbers come back from signs of which many are wrong."""

from __future__ import annotations

from itertools import combinations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve.invisible_mark import code

NUMBERS = st.integers(0, 2**32 - 1).map(lambda number: f"{number:08x}")


@given(NUMBERS, st.randoms(use_true_random=False))
def test_three_wrong_signs_in_each_word_are_corrected(number: str, random: Random) -> None:
    signs = code.encode(number).astype(np.float32).reshape(-1, 4)
    for word in range(4):
        signs[random.sample(range(24), 3), word] *= -1
    assert code.decode(signs.ravel()) == number


def test_words_differ_in_eight_signs_at_least() -> None:
    words = {
        tuple(code.encode(f"{number:08x}")[::4]) for number in range(0, 2**32, 2**20)
    }  # the first 12 bits
    assert len(words) == 4096
    few = list(words)[:60]
    distances = {sum(a != b for a, b in zip(*pair, strict=True)) for pair in combinations(few, 2)}
    assert distances <= {8, 12, 16, 24}


def test_signs_at_random_tell_no_number() -> None:
    noise = np.random.default_rng(7).normal(size=(200, 96)).astype(np.float32)
    found = [code.decode(signs) for signs in noise]
    assert sum(number is not None for number in found) <= 3  # 64 of 65,536 guesses fit a checksum


def test_unsure_signs_count_less() -> None:
    signs = code.encode("00c0ffee").astype(np.float32)
    signs[:40] *= -0.1  # ten of each word are wrong, and hardly sure
    assert code.decode(signs) == "00c0ffee"


@pytest.mark.parametrize("number", ["", "5A1F03C2", "5a1f03c", "5a1f03c2 ", "0x5a1f03"])
def test_other_texts_are_no_numbers(number: str) -> None:
    with pytest.raises(ValueError, match="eight hexadecimal digits"):
        code.encode(number)
