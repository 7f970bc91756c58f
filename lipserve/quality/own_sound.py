"""Agreement of a source's lips with its own sound: how it was before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.reader import open_audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.leaves import Leaves
from lipserve.quality.agreement import Sums, asked_lips, wanted
from lipserve.quality.watch import asked_span, max_lag
from lipserve.segments import Span

LONGEST = 7.5  # seconds of the source, its beginning: one block of the encoder


def early(video: MediaSource) -> int:
    """Return how many samples at 16 kHz the sound of a video begins before its first picture."""
    with open_audio(video) as reader:
        return round(reader.early * SAMPLE_RATE)


def agreement(
    leaves: Leaves,
    video: bytes,
    info: VideoInfo,
    rows: Mapping[str, NDArray[np.float32]],
    shown: NDArray[np.int64],
) -> tuple[list[float], int]:
    """Return the scores by lag of all people together (none: no speech), and how many mouths were compared.

    Args:
        video: the whole file, with its sound.
        rows: SHAPES [N, 8] and TRACKS [N] of `lipwarp_preprocess`.
        shown: int64 [N], the source frame of each row.

    Raises:
        AudioError: the sound cannot be used.
    """
    rows = {name: rows[name] for name in ("SHAPES", "TRACKS")}
    kept = np.flatnonzero(shown < LONGEST * info.fps)
    if not len(kept):
        return [], 0
    samples = _beginning(video)
    span = Span(int(shown[kept].min()), int(np.ptp(shown[kept])) + 1)
    asked = asked_span(span, info.fps, len(samples))
    if not asked.count:
        return [], 0
    frames = np.arange(asked.first, asked.stop)
    series = wanted(leaves, samples, 0, len(samples), audio.whisper_peak(samples), frames, info.fps)
    total, weight = np.zeros(2 * max_lag(info.fps) + 1), 0
    for track in np.unique(rows["TRACKS"][kept]):
        own = kept[rows["TRACKS"][kept] == track]
        first = own[np.unique(shown[own], return_index=True)[1]]  # a clip that is looped shows a frame again
        lips = asked_lips(rows["SHAPES"][first])
        sums = Sums(max_lag(info.fps), lips[0])
        sums.add(lips, shown[first], series, asked.first)
        if sums.asks and sums.count > 2:
            total += sums.count * sums.curve()
            weight += sums.count
    return ([round(score, 4) for score in (total / weight).tolist()] if weight else []), weight


def _beginning(video: bytes) -> NDArray[np.float32]:
    """Return the sound from the first picture on, for a little longer than LONGEST; no more is decoded."""
    blocks: list[NDArray[np.float32]] = []
    with open_audio(video) as reader:
        skip = round(reader.early * SAMPLE_RATE)
        left = skip + round((LONGEST + 0.5) * SAMPLE_RATE)
        for block in reader.blocks(SAMPLE_RATE, channels=1):
            blocks.append(block[0, :left])
            left -= block.shape[1]
            if left <= 0:
                break
    return np.asarray(np.concatenate([np.zeros(0, np.float32), *blocks])[skip:], np.float32)
