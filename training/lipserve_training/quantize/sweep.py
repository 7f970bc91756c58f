"""Search for the layers that tolerate INT8: boundary sweep, single layers, greedy mixture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import onnx
from pydantic import BaseModel, ConfigDict

from lipserve_training.quantize.judge import Judge, Verdict
from lipserve_training.quantize.layers import Layer, saving
from lipserve_training.quantize.qdq import Int8, mixed

PAPER_HIGH = 2  # the output block's convolutions: the paper's boundary for the compressed generator


class Trial(BaseModel):
    """A choice of layers and what became of the picture.

    Attributes:
        int8: names of the layers in INT8; the others are high.
        saving: their share of the multiplications, 0..1.
    """

    model_config = ConfigDict(frozen=True)

    int8: tuple[str, ...]
    saving: float
    verdict: Verdict

    @property
    def loss(self) -> float:
        """Mean absolute difference from the FP32 picture, in levels of 0..255: what a tolerance bounds.

        The truth has no say: beside the error of a weak generator any noise looks small.
        """
        return self.verdict.fp32.l1


class Sweep:
    """Tries choices of a generator's layers in INT8. What stays high is float32 here.

    Half precision in its place changes the picture far less than one INT8 layer does; the graph that is
    written is judged in its own precision.
    """

    def __init__(
        self,
        graph: onnx.ModelProto,
        layers: Sequence[Layer],
        int8: dict[str, Int8],
        judge: Judge,
        on_trial: Callable[[], None],
    ) -> None:
        self._graph, self._layers, self._int8 = graph, layers, int8
        self._judge, self._on_trial = judge, on_trial
        self._tried: dict[frozenset[str], Trial] = {}

    def quantized(self, names: Sequence[str]) -> onnx.ModelProto:
        """Return the graph with the layers of these names in INT8."""
        nodes = [layer.node for layer in self._layers if layer.name in names]
        return mixed(self._graph, {node: self._int8[node] for node in nodes})

    def trial(self, chosen: Sequence[Layer]) -> Trial:
        """Try a choice; a choice that was tried before is not tried again."""
        key = frozenset(layer.name for layer in chosen)
        if key not in self._tried:
            names = tuple(layer.name for layer in self._layers if layer.name in key)
            verdict = self._judge(self.quantized(names))
            self._tried[key] = Trial(int8=names, saving=saving(chosen, self._layers), verdict=verdict)
        self._on_trial()
        return self._tried[key]

    def boundaries(self, at: Sequence[int]) -> dict[int, Trial]:
        """Try the first b layers in INT8, for each b."""
        return {b: self.trial(self._layers[:b]) for b in at}

    def alone(self, groups: Sequence[Sequence[Layer]]) -> list[Trial]:
        """Try each group of layers in INT8 with all others high."""
        return [self.trial(group) for group in groups]

    def greedy(self, groups: Sequence[Sequence[Layer]], alone: Sequence[Trial], tolerance: float) -> Trial:
        """Return a choice of any groups whose loss is at most `tolerance` levels.

        Those that cost the least for what they save, each judged alone, come first; one that would take the
        choice beyond the tolerance stays high.
        """
        order = sorted(zip(groups, alone, strict=True), key=lambda pair: _price(pair[1]))
        best, chosen = self._tried.get(frozenset()) or self.trial([]), list[Layer]()
        for group, _ in order:
            more = self.trial([*chosen, *group])
            if more.loss <= tolerance:
                best, chosen = more, [*chosen, *group]
        return best


def steps(count: int, step: int, *also: int) -> list[int]:
    """Return the boundaries of a sweep: every `step`-th of 0..count, and those that must not be missed."""
    return sorted({*range(0, count + 1, step), count - PAPER_HIGH, count, *also})


def grouped(layers: Sequence[Layer], boundaries: Sequence[int]) -> list[tuple[Layer, ...]]:
    """Return the layers between neighbouring boundaries: each alone, where the step is 1."""
    return [tuple(layers[begin:end]) for begin, end in pairwise(boundaries)]


def largest_saving(trials: Sequence[Trial], tolerance: float) -> Trial:
    """Return what saves the most among the trials that lose at most `tolerance` levels; one must."""
    kept = [trial for trial in trials if trial.loss <= tolerance]
    return max(kept, key=lambda trial: (trial.saving, -trial.loss))


def _price(alone: Trial) -> float:
    """Return the noise, as mean square, for what a layer saves: noise of independent sources adds up so."""
    return float(10 ** (-alone.verdict.fp32.psnr / 10)) / alone.saving
