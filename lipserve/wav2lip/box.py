"""The framing that public Wav2Lip checkpoints know: an upright box around the face, stretched to a square.

What their inference does (Rudrabha/Wav2Lip, Nota's compressed one alike), in pixels of the picture: S3FD's
box x1, y1, x2, y2 of each frame gets `PADS` and is cut off at the picture's border; each edge becomes the
mean over `SMOOTHING` frames; the rectangle is resized to 96 x 96, its aspect not kept; what is generated is
resized back and overwrites it.

Here the box is that of the face mesh, and `FOREHEAD` above it. Its edges keep their fractions, which are
truncated there, so that no box jumps by a pixel; the picture's own planes are resized, not one in RGB; and
the paste has a soft border. What real weights make of all that has not been seen: none were at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.align import Image, Transforms
from lipserve.files.picture import Picture
from lipserve.wav2lip.paste import Mask, paste

PADS = (0, 10, 0, 0)  # top, bottom, left, right: pixels of the picture, whatever its size
SMOOTHING = 5  # frames
# Of the mesh's height. S3FD learnt from the boxes of WIDER FACE, which hold forehead, chin and cheeks, and so
# did YuNet: on 29 clips its boxes reach this much higher than the mesh (median; 0.065 to 0.127 for eight of
# ten clips), and left, right and below they end where the mesh does, within 0.023 of its sides.
FOREHEAD = 0.095
FEATHER = 4  # pixels of the crop, inside its border

Boxes = NDArray[np.float64]
"""float64 [F, 4]: x1, y1, x2, y2, counted from the picture's corner, so that pixel i covers i .. i + 1."""


@dataclass(frozen=True)
class Box:
    """A `lipserve.tiers.Painting`: crops of `size` pixels, as wide and as high as the face's box."""

    size: int

    def transforms(
        self,
        landmarks: NDArray[np.float64],
        runs: NDArray[np.int64],
        pixel_aspect: Fraction,
        extent: tuple[int, int],
    ) -> Transforms:
        """Return the transforms float32 [F, 2, 3] of meshes [F, 468, 2+] in square pixels.

        They stretch and shift, and never turn. Smoothing looks four frames ahead.
        """
        return place(smooth(boxes(landmarks, pixel_aspect, extent), runs), self.size)

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        """Return the crop uint8 [S, S, 3] RGB, bilinear and without antialiasing, as the weights know it."""
        return align.crop(picture, transform, self.size)

    def paste(self, picture: Picture, face: Image, transform: Transforms, weight: float = 1.0) -> None:
        """Put a generated face uint8 [S, S, 3] RGB where its crop was cut, in place, through `soft_border`.

        Samples outside the box keep their value to the bit.
        """
        paste(picture, face, transform, soft_border(self.size), weight)


def boxes(landmarks: NDArray[np.float64], pixel_aspect: Fraction, extent: tuple[int, int]) -> Boxes:
    """Return the padded boxes of meshes [F, 468, 2+] in square pixels, inside the picture.

    Args:
        pixel_aspect: width / height of one pixel of the picture.
        extent: width, height of the picture. A box keeps at least one pixel of it.
    """
    low, high = landmarks[:, :, :2].min(1), landmarks[:, :, :2].max(1)
    low[:, 1] -= FOREHEAD * (high - low)[:, 1]
    square = np.array([float(pixel_aspect), 1.0])
    top, bottom, left, right = PADS
    low = np.clip(low / square - (left, top), 0, np.array(extent) - 1)
    high = np.clip(high / square + (right, bottom), low + 1, extent)
    return np.concatenate([low, high], 1)


def smooth(exact: Boxes, runs: NDArray[np.int64]) -> Boxes:
    """Return the boxes [F, 4], each the mean of itself and the four after it.

    The last four of a run are means of its last five as they are by then: some of those are smoothed already,
    in the public code as here. A run of fewer than five frames has one mean of all.

    Args:
        runs: int64 [F], a label that changes where the smoothing must not look across (cuts, gaps).
    """
    out = exact.copy()
    for run in np.split(out, np.flatnonzero(np.diff(runs)) + 1):  # views
        for frame in range(len(run)):
            first = max(0, min(frame, len(run) - SMOOTHING))
            run[frame] = run[first : first + SMOOTHING].mean(0)
    return out


def place(found: Boxes, size: int) -> Transforms:
    """Return picture pixel -> crop pixel, float32 [F, 2, 3], for boxes [F, 4] resized to `size`.

    Resizing maps pixel borders to pixel borders: crop + 1/2 = (pixel + 1/2 - x1) size / (x2 - x1).
    """
    gain = size / (found[:, 2:] - found[:, :2])
    out = np.zeros((len(found), 2, 3))
    out[:, [0, 1], [0, 1]] = gain
    out[:, :, 2] = (0.5 - found[:, :2]) * gain - 0.5
    return out.astype(np.float32)


@cache
def soft_border(size: int) -> Mask:
    """Return the mask float32 [S, S]: all of the crop, zero in its outermost pixels, one `FEATHER` inside.

    The public code has none, so that its boxes show.
    """
    index = np.arange(size)
    ramp = np.clip(np.minimum(index, index[::-1]) / FEATHER, 0, 1)
    side = ramp * ramp * (3 - 2 * ramp)
    return np.outer(side, side).astype(np.float32)
