from __future__ import annotations

import math

import numpy as np
import onnx
import pytest

from lipserve.wav2lip.geometry import soft_mask
from lipserve_export.graphs.runtime import run, session
from lipserve_training.quantize.crops import Crops
from lipserve_training.quantize.judge import _COLUMNS, _ROWS, Judge, compare
from lipserve_training.quantize.qdq import Int8, mixed


def pictures() -> np.ndarray:
    return np.random.default_rng(1).uniform(0.2, 0.8, (2, 3, 96, 96)).astype(np.float32)


def seen(whole: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(whole[..., _ROWS, _COLUMNS])


def test_a_known_difference_has_known_scores() -> None:
    truth = pictures()
    scores = compare(seen(truth + np.float32(0.02)), seen(truth))
    assert scores.psnr == pytest.approx(-20 * math.log10(0.02), abs=1e-3)
    assert scores.l1 == pytest.approx(0.02 * 255, rel=1e-4)
    assert 0.99 < scores.ssim < 1
    same = compare(seen(truth), seen(truth))
    assert (same.psnr, same.l1) == (math.inf, 0)
    assert same.ssim == pytest.approx(1, abs=1e-6)


def test_pixels_that_are_not_pasted_do_not_count() -> None:
    truth = pictures()
    outside = truth + (soft_mask() == 0).astype(np.float32)
    scores = compare(seen(outside), seen(truth))
    assert (scores.psnr, scores.l1) == (math.inf, 0)
    assert scores.ssim < 1  # its window reaches over the edge
    inside = compare(seen(truth + 0.1 * (soft_mask() == 1).astype(np.float32)), seen(truth))
    expected = (soft_mask() == 1).sum() / soft_mask().sum()
    assert inside.l1 == pytest.approx(25.5 * expected, rel=1e-3)


def test_graphs_are_judged_before_rounding_against_fp32_and_truth(
    graph: onnx.ModelProto, int8: dict[str, Int8], drawn: tuple[Crops, Crops]
) -> None:
    judge = Judge(graph, drawn[1])
    same = judge(mixed(graph, {}))
    assert same.fp32.psnr == math.inf
    assert same.truth == judge.fp32
    noisy = judge(mixed(graph, int8))
    assert 15 < noisy.fp32.psnr < 60
    assert noisy.fp32.l1 > 0.5

    made = np.concatenate([run(session(graph), batch)["GENERATED"] for batch in drawn[1].batches()])
    rounded = (made.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    true = (drawn[1].faces.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    assert compare(seen(rounded), seen(true)).l1 == pytest.approx(judge.fp32.l1, abs=0.05)
