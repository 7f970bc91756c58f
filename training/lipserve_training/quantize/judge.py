"""How far a generator's picture is from another's and from the truth, inside the mask that is pasted."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from pydantic import BaseModel, ConfigDict

from lipserve.wav2lip.geometry import soft_mask
from lipserve_export.graphs.runtime import run, session
from lipserve_training import losses
from lipserve_training.quantize.crops import Crops

_Pictures = NDArray[np.float32]
_LEVELS = 255.0


def _around(axis: int) -> slice:
    """Return the rows or columns of the mask and of what the SSIM's window reaches from there."""
    inside = np.flatnonzero(soft_mask().any(axis=axis))
    reach = losses.SSIM_WINDOW // 2
    return slice(max(0, inside[0] - reach), inside[-1] + reach + 1)


_ROWS, _COLUMNS = _around(1), _around(0)


class Scores(BaseModel):
    """Likeness of two sets of pictures under the soft mask.

    Attributes:
        psnr: dB, of the mean squared difference over all pictures; infinite (null in JSON) where they are
            equal.
        ssim: mean of the structural similarity, at most 1.
        l1: mean absolute difference, in levels of 0..255.
    """

    model_config = ConfigDict(frozen=True)

    psnr: float
    ssim: float
    l1: float


class Verdict(BaseModel):
    """What a graph's pictures are worth.

    Attributes:
        fp32: against the float32 graph's pictures.
        truth: against the true pictures.
    """

    model_config = ConfigDict(frozen=True)

    fp32: Scores
    truth: Scores


class Judge:
    """Compares graphs on crops. The pictures are looked at before they are rounded to 256 levels.

    As in serving, the generator sees the crop itself as its reference.
    """

    def __init__(self, graph: onnx.ModelProto, crops: Crops) -> None:
        self._crops = crops
        self._truth = _seen(crops.faces.transpose(0, 3, 1, 2))
        self._fp32 = self._pictures(graph, optimised=True)
        self.fp32 = compare(self._fp32, self._truth)

    def __call__(self, graph: onnx.ModelProto, optimised: bool = True) -> Verdict:
        """Judge a graph of the contract WAV2LIP_GENERATOR.

        Args:
            optimised: see `lipserve_export.graphs.runtime.session`.
        """
        pictures = self._pictures(graph, optimised)
        return Verdict(fp32=compare(pictures, self._fp32), truth=compare(pictures, self._truth))

    def _pictures(self, graph: onnx.ModelProto, optimised: bool) -> _Pictures:
        running = session(_before_rounding(graph), optimised)
        (name,) = [output.name for output in running.get_outputs()]
        with ThreadPoolExecutor() as pool:
            made = pool.map(lambda batch: _seen(run(running, batch)[name]), self._crops.batches())
            return np.concatenate(list(made))


def compare(made: _Pictures, truth: _Pictures) -> Scores:
    """Compare pictures float32 [N, 3, H, W] in 0..1, cut to the part around the mask."""
    squared = _masked_mean((made - truth) ** 2)
    with torch.inference_mode():
        likeness = losses.ssim(torch.from_numpy(made), torch.from_numpy(truth)).numpy()
    return Scores(
        psnr=-10 * math.log10(squared) if squared else math.inf,
        ssim=_masked_mean(likeness),
        l1=_LEVELS * _masked_mean(np.abs(made - truth)),
    )


def _seen(levels: NDArray[Any]) -> _Pictures:
    """Return the part of pictures [N, 3, 96, 96] in 0..255 that the scores look at, float32 in 0..1."""
    return np.ascontiguousarray(levels[..., _ROWS, _COLUMNS]).astype(np.float32) / np.float32(_LEVELS)


def _masked_mean(values: _Pictures) -> float:
    mask = soft_mask()[_ROWS, _COLUMNS].astype(np.float64)
    return float((values.mean((0, 1), dtype=np.float64) * mask).sum() / mask.sum())


def _before_rounding(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with the levels that it rounds, float [B, 3, 96, 96] in 0..255, as its output."""
    (rounding,) = [node for node in graph.graph.node if node.op_type == "Round"]
    out = onnx.ModelProto()
    out.CopyFrom(graph)
    del out.graph.output[:]
    out.graph.output.append(helper.make_tensor_value_info(rounding.input[0], TensorProto.FLOAT, None))
    return out
