from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import audio
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.show import contact_sheet


def _spoken(video: bytes) -> bytes:
    """Return the video with a rising noise as its sound."""
    info = probe.probe(video)
    noise = np.random.default_rng(0).standard_normal(round(info.seconds * 16_000))
    sound = audio.wav((0.2 * noise * np.linspace(0, 1, len(noise))).astype(np.float32))
    file = io.BytesIO()
    with VideoWriter(file, info.width, info.height, info.fps, info.colour, audio=sound) as writer:
        for picture in decode.read(video, info):
            writer.write(picture)
    return file.getvalue()


def test_a_row_for_the_source_one_for_every_result_and_the_speech(
    clip: Callable[..., bytes], number_of: Callable[[NDArray[np.uint8]], int], tmp_path: Path
) -> None:
    source, result = clip(12, (192, 96)), _spoken(clip(46, (192, 96)))
    contact_sheet.write(tmp_path / "sheet.png", source, {"first": result, "second": result})
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    label, height = contact_sheet.MARGIN, 96
    assert sheet.shape == (4 * (label + height), 10 * contact_sheet.THUMBNAIL)
    rows = [sheet[label + (label + height) * row :][:height] for row in range(4)]
    numbers = [[number_of(row[:, 192 * column :][:, :192]) for column in range(10)] for row in rows]
    assert numbers[1] == numbers[2] == list(range(0, 50, 5))
    assert numbers[0] == [0, 5, 10, 7, 2, 3, 8, 9, 4, 1]  # to and fro, twelve frames
    loud = (rows[3] > 100).sum(0)
    assert loud[-200:-10].mean() > 3 * loud[10:200].mean()
