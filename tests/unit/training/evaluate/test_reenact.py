from __future__ import annotations

import numpy as np

from lipserve.files.picture import Picture
from lipserve.media import decode
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.reenact import Driven, frames_of


def test_driven_pictures_are_half_a_clip_away_and_unchanged(clip: Clip) -> None:
    driven = Driven.of(clip)
    assert driven.order.tolist() == [6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5]
    assert (driven.info.frames, driven.info.fps) == (12, 25)
    assert (driven.info.width, driven.info.height) == (200, 240)
    for shown, sent in zip(decode.read(driven.video, driven.info), driven.pictures, strict=True):
        assert shown.colour == sent.colour
        for a, b in zip((shown.y, shown.u, shown.v), (sent.y, sent.u, sent.v), strict=True):
            np.testing.assert_array_equal(a, b)
    assert driven.pictures[0] is clip.pictures[6]


def test_rows_change_copies_of_the_frames_that_they_are_of(clip: Clip) -> None:
    driven = Driven.of(clip)
    frames = np.array([0, 2, 2], np.int32)

    def edit(picture: Picture, row: int) -> None:
        picture.y[0, row] = 255 - picture.y[0, row]

    shown = list(driven.edited(np.zeros(4 * 640, np.float32), frames, edit))
    assert len(shown) == 4  # as many as the speech lasts
    changed = [
        np.flatnonzero(made.y[0] != source.y[0]).tolist()
        for made, source in zip(shown, driven.pictures, strict=False)
    ]
    assert changed == [[0], [], [1, 2], []]


def test_frames_that_samples_last() -> None:
    assert [frames_of(samples) for samples in (639, 640, 48000)] == [0, 1, 75]
