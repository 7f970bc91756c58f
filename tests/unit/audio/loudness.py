"""How loud a sound is, by FFmpeg's own meter."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

_BLOCK = 4800  # samples


def lufs(samples: NDArray[np.float32], rate: int, layout: str) -> float:
    """Return the integrated loudness of [n, channels] by EBU R128, LUFS."""
    graph = av.filter.Graph()
    source = graph.add(
        "abuffer", f"sample_rate={rate}:sample_fmt=flt:channel_layout={layout}:time_base=1/{rate}"
    )
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    found = ""
    for first in range(0, len(samples), _BLOCK):
        packed = np.ascontiguousarray(samples[first : first + _BLOCK]).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), first
        source.push(frame)
        while True:
            try:
                found = sink.pull().metadata.get("lavfi.r128.I", found)
            except (av.BlockingIOError, av.EOFError):
                break
    return float(found)
