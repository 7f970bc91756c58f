"""The rows that the bench of two clients prints."""

from __future__ import annotations

from typing import Any

from bench.fairness import table


def answers(*seconds: float) -> list[dict[str, Any]]:
    return [{"seconds": each, "stages": {"preprocess": each / 2}} for each in seconds]


def test_a_ratio_is_of_medians_and_told_for_each_round() -> None:
    rounds = [
        {"alone": answers(1.0, 1.0, 2.0), "beside": answers(1.5, 1.5, 9.0), "other": {"seconds": 40}},
        {"alone": answers(1.0, 2.0, 2.0), "beside": answers(3.0, 3.0, 3.0), "other": {"seconds": 60}},
    ]
    alone, beside, told = table({"clips": 100, "rounds": rounds, "load": 1.5})[2:]
    assert alone == "| alone | 6 | 1.50 | 1.00 .. 2.00 | preprocess 0.75 |"
    assert beside == "| beside | 6 | 3.00 | 1.50 .. 4.50 | preprocess 1.50 |"
    assert (
        told
        == "2.00 times as long beside the other's 100 clips (by rounds [1.5, 1.5]), which took 50 s; load 1.5"
    )
