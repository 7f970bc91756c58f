from __future__ import annotations

import numpy as np

from lipserve_training.evaluate import sheets
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.reenact import Driven


def test_a_page_shows_source_tiers_and_truth_from_closed_to_open(clip: Clip) -> None:
    driven = Driven.of(clip)
    opening = np.arange(len(clip))[::-1].astype(float)
    made = {"wav2lip": driven.pictures, "lipwarp": clip.pictures}
    page = sheets.page(clip, driven, made, opening)
    native = round(0.74 * 120)
    cell = native * -(-224 // native)  # enlarged by a whole factor
    assert page.shape == (4 * (cell + 20), sheets.COLUMNS * cell, 3)
    rows = [page[20 + row * (cell + 20) : (row + 1) * (cell + 20)] for row in range(4)]
    np.testing.assert_array_equal(rows[0], rows[1])  # a tier that changes nothing shows the source
    # The painted face moves with its crop, so all frames look alike but for their borders.
    inner = slice(cell // 4, -cell // 4)
    assert np.abs(rows[3][inner, :cell].astype(int) - rows[0][inner, :cell]).mean() < 6
