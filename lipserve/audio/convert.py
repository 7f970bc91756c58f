"""Decoded frames to samples: one rate, one or two channels, in blocks of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, cast

import av
import numpy as np
from numpy.typing import NDArray

from lipserve.audio.mix import Mixer
from lipserve.errors import AudioError

Block: TypeAlias = NDArray[np.float32]
"""Samples [channels, n], in [-1, 1]."""

MIN_RATE, MAX_RATE = 1_000, 3_000_000  # Hz; DSD512, the highest in use, is decoded to 2.8 MHz
MAX_CHANNELS = 64  # ambisonics of order 7
MAX_LEVEL = 1_000.0  # of a float sample, where full scale is 1: a sound that is 60 dB too loud is none

_PIECE = 16_384  # samples that are converted, or silent, at once: a frame may hold hours


def check_frame(frame: av.AudioFrame) -> None:
    """Raise AudioError if a frame has more channels or a higher rate than speech: they cost work."""
    rate, channels = frame.sample_rate, frame.layout.nb_channels
    if not (MIN_RATE <= rate <= MAX_RATE and channels <= MAX_CHANNELS):
        raise AudioError(
            f"The sound has {rate} samples a second and {channels} channels.",
            f"Send {MIN_RATE} to {MAX_RATE} Hz and at most {MAX_CHANNELS} channels, for example a 16 kHz WAV "
            "file.",
        )


class Converter:
    """Converts the frames of one shape; after the last one give it None.

    What is beyond full scale is clipped.

    Args:
        like: the first of the frames.
        rate: of the blocks, Hz.
        channels: of the blocks, 1 or 2 (see `lipserve.audio.mix`).

    Attributes:
        lead: seconds that the blocks are longer than the frames; after the last one, a sample or so.
    """

    def __init__(self, like: av.AudioFrame, rate: int, channels: int) -> None:
        self._rate = rate
        self.lead = 0.0
        # Packed, not planar, before Python sees it: PyAV reads beyond the planes of 8 channels and crashes.
        self._splitter = av.AudioResampler("flt", frame_size=_PIECE)
        self._mix = Mixer([channel.name for channel in like.layout.channels], like.sample_rate, channels)
        self._layout = "mono" if channels == 1 else "stereo"
        self._resampler = av.AudioResampler("fltp", self._layout, rate)

    def __call__(self, frame: av.AudioFrame | None) -> Iterator[Block]:
        """Yield what has become ready; AudioError where it holds what is no sample of any sound."""
        if frame is not None:
            self.lead -= frame.samples / frame.sample_rate
        for piece in self._splitter.resample(frame):
            yield from self._resampled(self._mixed(piece))
        if frame is None:
            yield from self._resampled(None)

    def _mixed(self, piece: av.AudioFrame) -> av.AudioFrame:
        samples = cast(NDArray[np.float32], piece.to_ndarray()).reshape(-1, piece.layout.nb_channels)
        peak = np.abs(samples).max(initial=0)
        if not peak <= MAX_LEVEL:  # nor is a NaN
            raise AudioError(
                f"The speech contains samples of {peak:.3g}; full scale is 1."
                if np.isfinite(peak)
                else "The speech contains values that are not numbers.",
                "Render the speech again, with samples between -1 and 1.",
            )
        mixed = av.AudioFrame.from_ndarray(self._mix(samples).reshape(1, -1), "flt", self._layout)
        mixed.sample_rate, mixed.time_base = piece.sample_rate, piece.time_base
        return mixed

    def _resampled(self, mixed: av.AudioFrame | None) -> Iterator[Block]:
        for ready in self._resampler.resample(mixed):
            if ready is None:  # a resampler that has nothing to do hands the end on as well
                continue
            block = cast(Block, ready.to_ndarray())
            self.lead += block.shape[1] / self._rate
            yield np.clip(block, -1, 1)


def silence(samples: int, channels: int) -> Iterator[Block]:
    """Yield `samples` of silence."""
    for first in range(0, samples, _PIECE):
        yield np.zeros((channels, min(_PIECE, samples - first)), np.float32)
