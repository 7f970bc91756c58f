"""What the libraries alone cost on this machine, now: the part of a frame that no server can save.

Machines differ, and one machine differs from hour to hour, by a factor of three. The same run therefore
measures the bare calls (two decodes, mesh, generator, x264), and the cost of the service is given as a
multiple of their sum.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lipserve.contracts import MODELS, NUMPY, Model
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve_server.inside.leaves import session

FRAMES = 100


def cpu_ms_per_frame(video: Path, result: Path, repository: Path) -> dict[str, float]:
    """Return the CPU milliseconds a frame of each library call, one thread each, and their `sum`.

    Args:
        video: the source. result: what the service made of it, whose pictures are encoded again.
    """
    source, made = probe.probe(video), probe.probe(result)
    pictures = list(decode.read(result, made, 0, FRAMES))

    def encode() -> None:
        with VideoWriter(
            io.BytesIO(), made.width, made.height, made.fps, made.colour, made.pixel_aspect, threads=1
        ) as writer:
            for picture in pictures:
                writer.write(picture)

    def read() -> None:
        for _ in decode.read(video, source, 0, count, threads=1):
            pass

    count = min(source.frames, FRAMES)
    parts = {
        "decode_twice": 2 * _cpu(read) / count,
        "face_landmarks": _leaf(repository, MODELS["face_landmarks"], 8),
        "wav2lip_generator": _leaf(repository, MODELS["wav2lip_generator"], 16),
        "x264": _cpu(encode) / len(pictures),
    }
    return {name: round(value, 2) for name, value in {**parts, "sum": sum(parts.values())}.items()}


def _leaf(repository: Path, model: Model, batch: int) -> float:
    network = session(repository / model.name / "1" / "model.onnx")
    feeds = {t.name: np.ones((batch, *t.dims), NUMPY[t.dtype]) for t in model.inputs}
    network.run(None, feeds)
    rounds = -(-FRAMES // batch)
    return _cpu(lambda: [network.run(None, feeds) for _ in range(rounds)]) / (rounds * batch)


def _cpu(work: Callable[[], object]) -> float:
    """Return the CPU milliseconds of the faster of two runs."""
    times = []
    for _ in range(2):
        began = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - began))
    return min(times)
