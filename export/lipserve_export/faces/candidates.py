"""Decoder of detectors with three output maps: best candidates, one per face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from lipserve.contracts import DETECTOR_SIZE
from lipserve_export.graphs.graph import Graph

STRIDES = (8, 16, 32)
_ROUNDS = 16  # of suppression: more than faces stand in a chain, each hiding the next


def priors(anchors: int = 1) -> NDArray[np.float32]:
    """Return x and y of every cell's corner and its stride [A, 3], input pixels: map by map, row by row.

    Args:
        anchors: candidates of a cell, one after the other.
    """
    levels = []
    for stride in STRIDES:
        rows, columns = stride * np.mgrid[: DETECTOR_SIZE // stride, : DETECTOR_SIZE // stride]
        level = np.column_stack([columns.ravel(), rows.ravel(), np.full(rows.size, stride)])
        levels.append(level.repeat(anchors, axis=0))
    every: NDArray[np.float32] = np.concatenate(levels).astype(np.float32)
    return every


def without_regions(network: onnx.ModelProto) -> None:
    """Take from every Resize its region, in place: an empty constant, which only another mode reads."""
    for node in network.graph.node:
        if node.op_type == "Resize":
            node.input[1] = ""


def part(graph: Graph, value: str, first: int, last: int) -> str:
    """Return the columns from `first` to before `last` of a value [B, A, C]."""
    bounds = (graph.constant([first]), graph.constant([last]), graph.constant([2]))
    return graph.op("Slice", value, *bounds)


def best(
    graph: Graph, scores: str, offsets: str, every: NDArray[np.float32], count: int, output: str = ""
) -> tuple[str, str, str, str]:
    """Return the `count` best candidates.

    Their scores [B, N], best first, their offsets [B, N, C], corners [B, N, 2] and strides [B, N, 1].

    Args:
        scores: [B, A, 1]; `offsets`: [B, A, C].
        every: of `priors`.
        output: the name of the scores that are returned.
    """
    flat = graph.op("Reshape", scores, graph.constant([0, -1]))
    kept, index = graph.split("TopK", flat, graph.constant([count]), outputs=(output, ""), axis=1)
    prior = graph.op("Gather", graph.constant(every), index, axis=0)
    return kept, rows(graph, offsets, index), part(graph, prior, 0, 2), part(graph, prior, 2, 3)


def rows(graph: Graph, value: str, index: str, output: str = "") -> str:
    """Return the rows [B, N, C] of a value [B, A, C] that an index [B, N] names."""
    names = graph.op("Unsqueeze", index, graph.constant([2]))
    return graph.op("GatherND", value, names, output=output, batch_dims=1)


def alone(graph: Graph, boxes: str, count: int, most: float) -> str:
    """Return [B, N, 1]: 1 for a box [B, N, 4], best first, that non-maximum suppression keeps, else 0.

    Greedy: a box is kept where no kept one before it shares more than `most` of their union. In each round
    every box is judged by what the round before has kept. The result is right after as many rounds as boxes
    stand in the longest chain, each hidden by the one before it. It needs no loop, and runs in batches.
    """
    x1, y1, x2, y2 = graph.split("Split", boxes, outputs=("",) * 4, axis=2, num_outputs=4)
    across = [graph.op("Transpose", edge, perm=[0, 2, 1]) for edge in (x1, y1, x2, y2)]

    def shared(low: str, high: str, others: tuple[str, str]) -> str:
        reach = graph.op("Sub", graph.op("Min", high, others[1]), graph.op("Max", low, others[0]))
        return graph.op("Relu", reach)

    both = graph.op("Mul", shared(x1, x2, (across[0], across[2])), shared(y1, y2, (across[1], across[3])))
    area = graph.op("Mul", graph.op("Sub", x2, x1), graph.op("Sub", y2, y1))
    areas = graph.op("Add", area, graph.op("Transpose", area, perm=[0, 2, 1]))
    union = graph.op("Sub", areas, both)
    hides = graph.op("Greater", both, graph.op("Mul", union, graph.constant(np.array(most))))
    before = graph.constant(np.tri(count, k=-1))
    hidden_by = graph.op("Mul", graph.cast(hides, TensorProto.FLOAT), before)
    kept = graph.constant(np.ones((1, count, 1)))
    for _ in range(_ROUNDS):
        by_kept = graph.op("Mul", hidden_by, graph.op("Transpose", kept, perm=[0, 2, 1]))
        hidden = graph.op("ReduceMax", by_kept, graph.constant([2]))
        kept = graph.cast(graph.op("Less", hidden, graph.constant(np.array(0.5))), TensorProto.FLOAT)
    return kept


def agree(sizes: Sequence[int], wanted: Sequence[int]) -> bool:
    """Return whether sizes that a file declares are those that are wanted; 0 is one that it leaves open."""
    return len(sizes) == len(wanted) and all(a in (0, b) for a, b in zip(sizes, wanted, strict=True))
