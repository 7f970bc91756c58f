"""Decoding of a video on its constant grid: forwards, backwards, back and forth."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import groupby, islice

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from lipserve.errors import VideoError
from lipserve.files.picture import Picture, VideoInfo, check_size
from lipserve.media.convert import Converter
from lipserve.media.frames import decoded
from lipserve.media.opening import VideoSource

_Load = Callable[..., Iterator[Picture]]


def read(
    source: VideoSource,
    info: VideoInfo,
    first: int = 0,
    count: int | None = None,
    *,
    threads: int = 0,
    faults: list[str] | None = None,
) -> Iterator[Picture]:
    """Yield the pictures of grid frames `first` .. `first + count - 1`, upright, 8-bit 4:2:0.

    Grid frame j shows the last frame that is presented no later than about the middle of its time,
    `info.start + (j + 0.45) / info.fps`; before the first frame that can be decoded that one, after the last
    one that. `source` may be a `cut` of the video that `info` tells of. Damaged packets are skipped. Only the
    pictures that the caller and the decoder hold are in memory; one that repeats is the same object.

    Args:
        count: default: to the end of the grid. Beyond it, the last picture repeats.
        threads: of the decoder; 0: as many as there are cores.
        faults: takes, in words, what of these pictures could not be decoded.

    Raises:
        VideoError: no frame can be decoded. LimitError: `info` asks for too large a picture.
    """
    check_size(info.width, info.height)
    count = info.frames - first if count is None else count
    if count <= 0:
        return
    convert = Converter(info)
    frames = decoded(source, info, max(0, first), threads, [] if faults is None else faults)
    with closing(frames):
        ahead = next(frames, None)
        shown: VideoFrame | None = None
        picture: Picture | None = None
        for index in range(first, first + count):
            while ahead is not None and (shown is None or ahead[0] <= index):
                (_, shown), picture = ahead, None
                ahead = next(frames, None)
            if shown is None:
                raise VideoError(
                    "No frame of the video can be decoded.",
                    "Send the whole file, or convert it to H.264 in MP4.",
                )
            picture = picture or convert(shown)
            yield picture


def warnings(faults: Sequence[str]) -> list[str]:
    """Return the report's warnings on a video in which `read` found faults."""
    return [f"The video is damaged: {fault}, and those before them are held." for fault in faults[:1]]


def skim(
    source: VideoSource,
    info: VideoInfo,
    spans: Sequence[tuple[int, int]],
    keys: Sequence[int],
    *,
    threads: int = 0,
) -> Iterator[Iterator[Picture]]:
    """Yield the pictures of each span as `read` does, and decode no frame for two of them.

    Where no key frame lies between two spans, the decoder goes on through what is between. The pictures of
    one span are to be taken before the next span is asked for.

    Args:
        spans: first grid frame and count of each, rising.
        keys: grid frames that a decoder can begin with, rising.
    """
    pictures: Iterator[Picture] = iter(())
    at, passed = -1, -1  # the next picture, and how many key frames are behind the last one
    for first, count in spans:
        before = bisect_right(keys, first)
        if at > first or before != passed or at < 0:
            at, pictures = first, read(source, info, first, info.frames - first, threads=threads)
        own = islice(pictures, first - at, first - at + count)
        yield own
        for _ in own:
            pass
        at, passed = first + count, bisect_right(keys, first + count - 1)


def read_order(
    source: VideoSource,
    info: VideoInfo,
    indices: NDArray[np.int64],
    *,
    threads: int = 0,
    budget: int = 256 << 20,
) -> Iterator[Picture]:
    """Yield the picture of every grid frame in `indices`, in their order.

    Made for a clip that is played to and fro, or frozen (0 1 2 3 2 1 0 1, 7 7 7): rising runs are decoded as
    they are read, falling ones in blocks of at most `budget` bytes of pictures, which also serve the rising
    run that follows; an index that repeats is decoded once. Any other order works, a seek for every jump.

    Args:
        indices: int64 [N], grid frames.
    """
    size = info.width * info.height + 2 * (-(-info.width // 2) * -(-info.height // 2))
    block = max(1, budget // size)
    load = partial(read, source, info, threads=threads)
    kept: dict[int, Picture] = {}
    runs = _runs(indices.tolist())
    for run, after in zip(runs, [*runs[1:], None], strict=True):
        if run[-1] < run[0]:
            yield from _falling(load, run, kept, block)
        else:
            turns = after is not None and after[0] == run[-1] - 1
            yield from _rising(load, run, kept, block, turns)


def _runs(indices: list[int]) -> list[list[int]]:
    """Return `indices` cut where they turn or jump; an index may repeat within a run."""
    runs: list[list[int]] = []
    direction = 0
    for index in indices:
        step = index - runs[-1][-1] if runs else 2
        if step and (abs(step) > 1 or direction * step < 0):
            runs.append([index])
            direction = 0
        else:
            runs[-1].append(index)
            direction = step or direction
    return runs


def _rising(
    load: _Load, run: list[int], kept: dict[int, Picture], block: int, turns: bool
) -> Iterator[Picture]:
    """Yield a rising run; where it turns, leave in `kept` the pictures that are needed again first."""
    decoded: Iterator[Picture] | None = None
    for index, repeats in groupby(run):
        if decoded is None and index not in kept:
            decoded = load(first=index, count=run[-1] - index + 1)
        picture = kept.pop(index) if decoded is None else next(decoded)
        if turns and index > run[-1] - block:
            if len(kept) >= block:
                del kept[min(kept)]
            kept[index] = picture
        for _ in repeats:
            yield picture


def _falling(load: _Load, run: list[int], kept: dict[int, Picture], block: int) -> Iterator[Picture]:
    """Yield a falling run, decoding a block of it where `kept` has run out; the last ones stay there."""
    for index, repeats in groupby(run):
        if index not in kept:
            low = max(run[-1], index - block + 1)
            for above in sorted(kept, reverse=True)[: max(0, len(kept) + index - low + 1 - block)]:
                del kept[above]
            kept.update(enumerate(load(first=low, count=index - low + 1), low))
        for _ in repeats:
            yield kept[index]
