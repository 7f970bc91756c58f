"""Encoding of the driving speech as the AAC track of a result."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction

import av
import numpy as np

from lipserve.audio.convert import Block
from lipserve.audio.reader import open_audio
from lipserve.files.picture import MediaSource
from lipserve.media.output import Mp4Output

_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)  # Hz, of AAC

# On speech FFmpeg's fast search is nearer to the source than its default (41 against 33 dB at 16 kHz,
# 64 kb/s), at a third of the CPU; only pure tones suffer (26 dB).
_OPTIONS = {"aac_coder": "fast"}


class SpeechTrack:
    """Encodes a speech beside a video, as far as the video has come; after its end there is silence.

    The speech keeps its own sample rate (the nearest that AAC has) and its channels (more than two are mixed
    to stereo, as loud as they are: `lipserve.audio.mix`). It is read as it is needed: memory does not grow
    with its length. The encoder's priming is cut off by the file's edit list, so that sample 0 is heard at
    time 0.

    Args:
        track: which audio stream, as for `lipserve.audio.load`.

    Raises:
        AudioError: the file holds no sound. OptionsError: it has no such track.
    """

    def __init__(self, output: Mp4Output, source: MediaSource, track: int | None = None) -> None:
        self._output = output
        with ExitStack() as opening:
            reader = opening.enter_context(open_audio(source, track))
            channels = self._channels = min(reader.channels, 2)
            self._rate = min(_RATES, key=lambda rate: abs(rate - reader.rate))
            self._layout = "mono" if channels == 1 else "stereo"
            self._stream = output.container.add_stream(
                "aac", rate=self._rate, layout=self._layout, options=_OPTIONS
            )
            # About 43 dB on speech. More is costly: at 128 kb/s a channel the search takes twice as long.
            self._stream.codec_context.bit_rate = channels * min(4 * self._rate, 80_000)
            self._blocks = reader.blocks(self._rate, channels)
            self._closing = opening.pop_all()
        self._rest: Block | None = None
        self._sent = 0  # samples

    def advance(self, seconds: Fraction) -> None:
        """Encode the speech, and the silence after it, up to `seconds`."""
        target = round(seconds * self._rate)
        while self._sent < target:
            if self._rest is None:
                self._rest = next(self._blocks, None)
            if self._rest is None:
                self._rest = np.zeros((self._channels, min(target - self._sent, self._rate)), np.float32)
            block, rest = self._rest[:, : target - self._sent], self._rest[:, target - self._sent :]
            self._rest = rest if rest.size else None
            self._encode(block)
            self._sent += block.shape[1]

    def finish(self, seconds: Fraction) -> None:
        """Encode the speech up to `seconds`, where the video ends, and no further."""
        self.advance(seconds)
        self._mux(None)
        self.close()

    def close(self) -> None:
        """Close the speech's file."""
        self._closing.close()

    def _encode(self, block: Block) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", self._layout)
        frame.sample_rate = self._rate
        frame.time_base = Fraction(1, self._rate)
        frame.pts = self._sent
        self._mux(frame)

    def _mux(self, frame: av.AudioFrame | None) -> None:
        with self._output.failures():
            packets = self._stream.encode(frame)
        for packet in packets:
            self._output.mux(packet)
