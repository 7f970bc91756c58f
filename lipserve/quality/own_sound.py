"""Agreement of a source's lips with its own sound: how it was before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipserve import audio
from lipserve.audio.reader import open_audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.leaves import Leaves
from lipserve.quality.agreement import Sums, wanted
from lipserve.quality.lips import Series
from lipserve.quality.watch import asked_span, max_lag
from lipserve.segments import Span

LONGEST = 7.5  # seconds that are heard: one block of the encoder
_WORTH = 5.0  # seconds of the result: for less, to hear the source's own sound costs too much
_WORTH_PAINTED = 50_000_000  # pixels of its frames together, in a tier that hears the speech to measure it


def worth(frames: int, info: VideoInfo, paints: bool) -> bool:
    """Return whether a request of so many frames is large enough beside the cost of hearing its source.

    Args:
        paints: whether the tier paints: it hears the speech for the measurement too.
    """
    enough = not paints or frames * info.width * info.height >= _WORTH_PAINTED
    return frames >= _WORTH * info.fps and enough


def early(video: MediaSource) -> int:
    """Return how many samples at 16 kHz the sound of a video begins before its first picture."""
    with open_audio(video) as reader:
        return round(reader.early * SAMPLE_RATE)


def heard(shown: NDArray[np.int64], info: VideoInfo) -> Span:
    """Return the source frames whose sound is heard, of those that are shown: the first ones, and a margin.

    Args:
        shown: int64 [N], source frames, one at least.
    """
    first = int(shown.min())
    count = min(int(shown.max()) + 1 - first, round(LONGEST * info.fps))
    begin = max(0, first - max_lag(info.fps))
    return Span(begin, first + count + max_lag(info.fps) - begin)


def agreement(
    leaves: Leaves,
    video: MediaSource,
    info: VideoInfo,
    lips: Series,
    tracks: NDArray[np.int32],
    shown: NDArray[np.int64],
    cut: bool = False,
) -> tuple[list[float], int]:
    """Return the scores by lag of all people together (none: no speech), and how many mouths were compared.

    Args:
        video: the whole file, or a stretch of it, with the sound of the frames that `heard` names.
        info: of the whole video.
        lips: lip measures [N, 4] of its mouths; tracks [N], whose they are.
        shown: int64 [N], the source frame of each.
        cut: whether the file is a stretch, whose clock is that of the whole.

    Raises:
        AudioError: the sound cannot be used.
    """
    if not len(shown):
        return [], 0
    span = heard(shown, info)
    samples = sound(video, info, span, cut)
    own = Span(0, span.count)  # counted from where the samples begin
    asked = asked_span(own, info.fps, len(samples))
    if not asked.count:
        return [], 0
    frames = np.arange(asked.first, asked.stop)
    series = wanted(leaves, samples, 0, len(samples), audio.whisper_peak(samples), frames, info.fps)
    kept = np.flatnonzero(shown < shown.min() + LONGEST * info.fps)
    total, weight = np.zeros(2 * max_lag(info.fps) + 1), 0
    for track in np.unique(tracks[kept]):
        rows = kept[tracks[kept] == track]
        first = rows[
            np.unique(shown[rows], return_index=True)[1]
        ]  # a clip that is looped shows a frame again
        sums = Sums(max_lag(info.fps), lips[first[0]])
        sums.add(lips[first], shown[first] - span.first, series, asked.first)
        if sums.asks and sums.count > 2:
            total += sums.count * sums.curve()
            weight += sums.count
    return ([round(score, 4) for score in (total / weight).tolist()] if weight else []), weight


def sound(
    video: MediaSource, info: VideoInfo, span: Span, cut: bool, sought: float | None = None
) -> NDArray[np.float32]:
    """Return the sound of some source frames, 16 kHz; no more is decoded than up to their end.

    Args:
        cut: as for `agreement`. sought: as for `AudioReader`; the file's clock must be that of `info`.
    """
    blocks: list[NDArray[np.float32]] = []
    with open_audio(video, sought=sought) as reader:
        before = float(info.start) - reader.begin if cut else reader.early  # of the video's first picture
        skip = round((before + float(span.first / info.fps)) * SAMPLE_RATE)
        left = skip + round(span.count / info.fps * SAMPLE_RATE)
        for block in reader.blocks(SAMPLE_RATE, channels=1):
            blocks.append(block[0, : max(0, left)])
            left -= block.shape[1]
            if left <= 0:
                break
    samples = np.concatenate([np.zeros(max(0, -skip), np.float32), *blocks])
    return np.asarray(samples[max(0, skip) :], np.float32)
