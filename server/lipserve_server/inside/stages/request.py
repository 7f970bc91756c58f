"""A request that the first stage has read and checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipserve.files.picture import VideoInfo
from lipserve.media.opening import OpenedVideo
from lipserve.options import Options
from lipserve.segments import Span
from lipserve_server.inside.stages.measuring import Rows


@dataclass(frozen=True)
class Request:
    """What is asked for, and what it depends on.

    Attributes:
        started: Unix time.
        file: the VIDEO; `video`: opened.
        samples: float32 [n], 16 kHz mono.
        warnings: what the report must say of the two files.
        span: output frames; `needed`: the source frames that they depend on.
        shown: int64 [F], the source frame that each output frame shows.
        weights: float32 [F], with which each output frame is driven, 0 to 1.
    """

    started: float
    file: bytes
    video: OpenedVideo
    options: Options
    info: VideoInfo
    samples: NDArray[np.float32]
    span: Span
    needed: Span
    shown: NDArray[np.int64]
    weights: NDArray[np.float32]
    warnings: list[str]

    def driven(self, rows: Rows) -> Rows:
        """Return the rows of the frames that are driven, each with its share of the frame's weight."""
        weights = self.weights[rows["FRAMES"] - self.span.first]
        if (weights == 1).all():
            return rows
        used = weights > 0
        rows = {name: values[used] for name, values in rows.items()}
        return rows | {"WEIGHTS": rows["WEIGHTS"] * weights[used]}
