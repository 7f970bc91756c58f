"""From decoded frames to samples: one rate, one or two channels, in blocks of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, cast

import av
import numpy as np
from numpy.typing import NDArray

from lipserve.errors import AudioError

Block: TypeAlias = NDArray[np.float32]
"""Samples [channels, n], nominally in [-1, 1]."""

MIN_RATE, MAX_RATE = 1_000, 3_000_000  # Hz; DSD512, the highest in use, is decoded to 2.8 MHz
MAX_CHANNELS = 64  # ambisonics of order 7

_PIECE = 16_384  # samples that are converted, or silent, at once: a frame may hold hours
_MIX = {"rematrix_maxval": "1"}  # the weights of a mix sum to 1 at most, so that it cannot clip


def check_frame(frame: av.AudioFrame) -> None:
    """Raise AudioError where a frame's rate or channels are none of a speech: they multiply the work."""
    rate, channels = frame.sample_rate, frame.layout.nb_channels
    if not (MIN_RATE <= rate <= MAX_RATE and channels <= MAX_CHANNELS):
        raise AudioError(
            f"The sound has {rate} samples a second of {channels} channels.",
            f"Send {MIN_RATE} to {MAX_RATE} Hz and at most {MAX_CHANNELS} channels: a 16 kHz WAV file, say.",
        )


class Converter:
    """Converts the frames of one shape; after the last one give it None.

    Args:
        like: the first of the frames.
        rate: of the blocks, Hz.
        channels: of the blocks: 1 (FFmpeg's downmix: stereo is averaged) or 2.

    Attributes:
        lead: seconds that the blocks are longer than the frames; after the last one, a sample or so.
    """

    def __init__(self, like: av.AudioFrame, rate: int, channels: int) -> None:
        self._rate = rate
        self.lead = 0.0
        self._named = like.layout.name != f"{like.layout.nb_channels} channels"
        # Packed, not planar, before Python sees it: PyAV reads beyond the planes of 8 channels and crashes.
        self._splitter = av.AudioResampler(None if self._named else "flt", frame_size=_PIECE)
        self._mixer = av.AudioResampler("fltp", "mono" if channels == 1 else "stereo", rate, options=_MIX)

    def __call__(self, frame: av.AudioFrame | None) -> Iterator[Block]:
        """Yield what has become ready; AudioError where it is not finite."""
        if frame is not None:
            self.lead -= frame.samples / frame.sample_rate
        for piece in self._splitter.resample(frame):
            yield from self._mixed(piece if self._named else _name_layout(piece))
        if frame is None:
            yield from self._mixed(None)

    def _mixed(self, piece: av.AudioFrame | None) -> Iterator[Block]:
        for mixed in self._mixer.resample(piece):
            if mixed is None:  # a resampler that has nothing to do hands the end on as well
                continue
            block = cast(Block, mixed.to_ndarray())
            if not np.isfinite(block).all():
                raise AudioError("The speech holds values that are no numbers.", "Render the speech again.")
            self.lead += block.shape[1] / self._rate
            yield block


def silence(samples: int, channels: int) -> Iterator[Block]:
    """Yield `samples` of silence."""
    for first in range(0, samples, _PIECE):
        yield np.zeros((channels, min(_PIECE, samples - first)), np.float32)


def _name_layout(packed: av.AudioFrame) -> av.AudioFrame:
    """Return the frame with a layout that FFmpeg can mix; its own says no more than how many channels.

    One channel is mono and two are stereo; of more, nobody can tell what they are: they are averaged.
    """
    channels, samples = packed.layout.nb_channels, packed.to_ndarray()
    if channels > 2:
        samples = samples.reshape(-1, channels).mean(axis=1, dtype=np.float64).astype(np.float32)[None]
    named = av.AudioFrame.from_ndarray(samples, "flt", "stereo" if channels == 2 else "mono")
    named.sample_rate, named.time_base = packed.sample_rate, packed.time_base
    return named
