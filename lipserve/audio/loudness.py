"""Loudness of a sound, and mixing of a speech over a background: FFmpeg's filters, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext

from lipserve.audio.convert import Block

RATE = 48_000  # Hz, of a mixed sound
SILENT = -70.0  # LUFS: the gate of EBU R128, below which nothing is counted
PEAK = 0.89  # 1 dB below full scale: what peaks are held to where loudness is asked for (EBU R128)
_SOURCE = f"time_base=1/{RATE}:sample_rate={RATE}:sample_fmt=flt:channel_layout=stereo"
_DUCK = "threshold=0.008:ratio=2.2:attack=15:release=400:knee=4"


def integrated(blocks: Iterable[Block]) -> float:
    """Return the loudness of a stereo sound at `RATE` as a whole, LUFS (EBU R128); `SILENT` for silence."""
    graph = Graph()
    source, meter, sink = graph.add("abuffer", _SOURCE), graph.add("ebur128", "metadata=1"), _sink(graph)
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    loudness, at = SILENT, 0
    for block in blocks:
        source.push(_frame(block, at))
        at += block.shape[1]
        for frame in _pulled(sink):
            loudness = float(frame.metadata.get("lavfi.r128.I", loudness))
    return max(loudness, SILENT)


class Ducker:
    """Mixes a background under a speech: while the speech is heard, the background steps back.

    The first 64 ms or so are held back, until `finish`.
    """

    def __init__(self) -> None:
        graph = Graph()
        self._voice, self._bed = graph.add("abuffer", _SOURCE), graph.add("abuffer", _SOURCE)
        split, duck = graph.add("asplit", "2"), graph.add("sidechaincompress", _DUCK)
        mix, self._sink = graph.add("amix", "inputs=2:normalize=0:duration=longest"), _sink(graph)
        self._voice.link_to(split)
        self._bed.link_to(duck, 0, 0)
        split.link_to(duck, 0, 1)
        split.link_to(mix, 1, 0)
        duck.link_to(mix, 0, 1)
        mix.link_to(self._sink)
        graph.configure()
        self._graph, self._at = graph, 0

    def __call__(self, voice: Block, bed: Block) -> Iterator[Block]:
        """Yield what is ready, after the next block [2, n] of each."""
        self._voice.push(_frame(voice, self._at))
        self._bed.push(_frame(bed, self._at))
        self._at += voice.shape[1]
        yield from map(_block, _pulled(self._sink))

    def finish(self) -> Iterator[Block]:
        """Yield the rest."""
        self._voice.push(None)
        self._bed.push(None)
        yield from map(_block, _pulled(self._sink))


class Limiter:
    """Holds peaks to a share of full scale, after a gain."""

    def __init__(self, gain: float = 1.0, peak: float = 1.0) -> None:
        graph = Graph()
        self._source = graph.add("abuffer", _SOURCE)
        settings = f"level_in={gain:.6f}:limit={peak}:level=0:latency=1"
        limit, self._sink = graph.add("alimiter", settings), _sink(graph)
        form = graph.add("aformat", "sample_fmts=flt:channel_layouts=stereo")
        self._source.link_to(limit)
        limit.link_to(form)
        form.link_to(self._sink)
        graph.configure()
        self._graph, self._at = graph, 0

    def __call__(self, block: Block) -> Iterator[Block]:
        """Yield what is ready, after the next block [2, n]."""
        self._source.push(_frame(block, self._at))
        self._at += block.shape[1]
        yield from map(_block, _pulled(self._sink))

    def finish(self) -> Iterator[Block]:
        """Yield the rest."""
        self._source.push(None)
        yield from map(_block, _pulled(self._sink))


def _sink(graph: Graph) -> FilterContext:
    return graph.add("abuffersink")


def _pulled(sink: FilterContext) -> Iterator[av.AudioFrame]:
    while True:
        try:
            frame = sink.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, av.AudioFrame)
        yield frame


def _frame(block: Block, at: int) -> av.AudioFrame:
    samples = np.ascontiguousarray(block.T, np.float32).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, "flt", "stereo")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), at
    return frame


def _block(frame: av.AudioFrame) -> Block:
    return np.ascontiguousarray(frame.to_ndarray().reshape(-1, 2).T, np.float32)
