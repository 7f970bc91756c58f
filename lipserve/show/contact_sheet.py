"""A picture of results: ten frames of the source, the same ten of every result below, and the speech."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import audio
from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.media import decode, probe
from lipserve.media.yuv import resized
from lipserve.segments import Mismatch, Span, source_frames

COLUMNS = 10
THUMBNAIL = 192  # pixels, the width of one frame
MARGIN = 28
_INK, _PAPER, _WAVE = (235, 235, 235), 24, (90, 200, 250)

Image = NDArray[np.uint8]


def write(
    path: Path,
    source: MediaSource,
    results: Mapping[str, MediaSource],
    mode: Mismatch = "loop",
    title: str = "",
) -> None:
    """Write the contact sheet as a PNG.

    Args:
        results: by the label of their row; the first one's frames and sound are those that are shown.
        mode: how the source was continued where the speech outlasted it.
        title: told beside the word `source`.

    Raises:
        OSError: the file cannot be written.
    """
    first = next(iter(results.values()))
    before, after = probe.probe(source), probe.probe(first)
    picks = np.linspace(0, after.frames - 1, COLUMNS).round().astype(np.int64)
    shown = source_frames(Span(0, after.frames), before.frames, mode, after.frames)
    rows = {f"source  {title}": np.concatenate(list(_thumbnails(source, shown[picks])), 1)}
    for label, result in results.items():
        rows[label] = np.concatenate(list(_thumbnails(result, picks)), 1)
    rows["speech, loudness over time; lines mark the frames above"] = _envelope(first, picks, after)
    sheet = np.concatenate(
        [part for label, row in rows.items() for part in (_label(label, row.shape[1]), row)]
    )
    path.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _thumbnails(source: MediaSource, indices: NDArray[np.int64]) -> Iterator[Image]:
    info = probe.probe(source)
    height = round(THUMBNAIL * info.height / (info.width * float(info.pixel_aspect)))
    for index in indices:
        picture = next(decode.read(source, info, int(index), 1))
        yield resized(picture, THUMBNAIL, height)


def _envelope(result: MediaSource, picks: NDArray[np.int64], info: VideoInfo) -> Image:
    width, height = COLUMNS * THUMBNAIL, 96
    canvas = np.full((height, width, 3), _PAPER, np.uint8)
    columns_per_second = Fraction(width * info.fps, info.frames)
    loud = audio.envelope(audio.load(result), columns_per_second, width)
    bars = np.round(loud / max(float(loud.max()), 1e-6) * (height / 2 - 4)).astype(int)
    for x, bar in enumerate(bars):
        canvas[height // 2 - bar : height // 2 + bar + 1, x] = _WAVE
    for pick in picks:
        canvas[:, min(width - 1, round(pick / max(info.frames - 1, 1) * (width - 1)))] = _INK
    return canvas


def _label(text: str, width: int) -> Image:
    strip = np.full((MARGIN, width, 3), _PAPER, np.uint8)
    cv2.putText(strip, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return strip
