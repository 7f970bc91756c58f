from __future__ import annotations

import onnx
import pytest

from lipserve_training.quantize.crops import Crops
from lipserve_training.quantize.judge import Judge
from lipserve_training.quantize.layers import Layer
from lipserve_training.quantize.qdq import Int8
from lipserve_training.quantize.sweep import Sweep, grouped, largest_saving, steps


@pytest.fixture
def trials() -> list[int]:
    return []


@pytest.fixture
def sweep(
    graph: onnx.ModelProto,
    convolutions: tuple[Layer, ...],
    int8: dict[str, Int8],
    drawn: tuple[Crops, Crops],
    trials: list[int],
) -> Sweep:
    return Sweep(graph, convolutions, int8, Judge(graph, drawn[1]), lambda: trials.append(1))


def test_coarse_steps_miss_neither_the_ends_nor_the_papers_boundary() -> None:
    assert steps(23, 1) == list(range(24))
    assert steps(23, 10) == [0, 10, 20, 21, 23]
    assert steps(23, 100, 7) == [0, 7, 21, 23]


def test_groups_are_the_layers_between_boundaries(convolutions: tuple[Layer, ...]) -> None:
    groups = grouped(convolutions, [0, 10, 21, 23])
    assert [len(group) for group in groups] == [10, 11, 2]
    assert sum(groups, ()) == convolutions


def test_more_layers_in_int8_save_more_and_differ_more(
    sweep: Sweep, convolutions: tuple[Layer, ...], trials: list[int]
) -> None:
    found = sweep.boundaries([0, 8, 23])
    assert [len(trial.int8) for trial in found.values()] == [0, 8, 23]
    assert [round(trial.saving, 3) for trial in found.values()] == [0, 0.191, 1]
    losses = [trial.loss for trial in found.values()]
    assert losses[0] == 0
    assert 0 < losses[1] < losses[2]
    assert sweep.trial(convolutions[:8]) is found[8]  # not tried twice
    assert len(trials) == 4


def test_the_mixture_keeps_to_the_tolerance_and_saves_at_least_what_any_layer_alone_does(
    sweep: Sweep, convolutions: tuple[Layer, ...]
) -> None:
    groups = grouped(convolutions, [0, 8, 14, 21, 23])
    alone = sweep.alone(groups)
    losses = sorted(trial.loss for trial in alone)
    assert losses[0] > 0
    for tolerance in (0, losses[1], 255):
        mixture = sweep.greedy(groups, alone, tolerance)
        assert mixture.loss <= tolerance
        bearable = [trial.saving for trial in alone if trial.loss <= tolerance]
        assert mixture.saving >= max(bearable, default=0) * 0.999 or len(mixture.int8) > 0
    assert mixture.saving == 1
    assert sweep.greedy(groups, alone, 0).int8 == ()


def test_the_best_saves_the_most_of_what_is_within_the_tolerance(sweep: Sweep) -> None:
    found = list(sweep.boundaries([0, 2, 23]).values())
    assert largest_saving(found, 0) is found[0]
    assert largest_saving(found, found[1].loss) is found[1]
    assert largest_saving(found, 255) is found[2]
