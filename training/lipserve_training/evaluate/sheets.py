"""Pages of mouths as large as in the picture: of the source, of every tier, of the true video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.contracts import TierName
from lipserve.contracts.lipwarp import MOUTH_SIZE
from lipserve.files.picture import Picture
from lipserve.lipwarp.geometry import SIDE, mouth_transforms
from lipserve.quality.lips import Series
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.reenact import Driven

COLUMNS = 7
_LEAST, _MOST = 224, 448  # pixels of a mouth on the page: small ones are enlarged by a whole factor
_STRIP = 20  # pixels of a row's title
_PAPER, _INK = 24, (235, 235, 235)

Image = NDArray[np.uint8]


def page(clip: Clip, driven: Driven, made: Mapping[TierName, Sequence[Picture]], opening: Series) -> Image:
    """Return the page of a clip, uint8 [H, W, 3] RGB.

    Args:
        opening: float64 [F], of the true mouth: the columns go from the most closed to the most open one.
    """
    frames = np.argsort(opening, kind="stable")[np.linspace(0, len(clip) - 1, COLUMNS).round().astype(int)]
    natural = [clip.pictures[frame] for frame in frames]
    rows = [_row(f"{clip.name}: source", clip, [driven.pictures[i] for i in frames], driven.order[frames])]
    for name, pictures in made.items():
        rows.append(_row(name, clip, [pictures[frame] for frame in frames], driven.order[frames]))
    rows.append(_row("true", clip, natural, frames))
    return np.concatenate(rows)


def _row(title: str, clip: Clip, pictures: list[Picture], order: NDArray[np.int64]) -> Image:
    native = int(np.clip(round(SIDE * clip.face_side()), 16, _MOST))
    factor = -(-_LEAST // native)
    transforms = mouth_transforms(clip.transforms[order], clip.pixel_aspect).astype(np.float64)
    transforms *= native / MOUTH_SIZE
    transforms[:, :, 2] += 0.5 * native / MOUTH_SIZE - 0.5
    cells = [
        cv2.resize(
            align.crop(picture, transform.astype(np.float32), native),
            (native * factor, native * factor),
            interpolation=cv2.INTER_CUBIC,
        )
        for picture, transform in zip(pictures, transforms, strict=True)
    ]
    shown = np.concatenate(cells, 1)
    strip = np.full((_STRIP, shown.shape[1], 3), _PAPER, np.uint8)
    cv2.putText(strip, title, (6, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)
    return np.asarray(np.concatenate([strip, shown]), np.uint8)
