"""The reference's alignment: three points, a 3:4 crop squeezed to a square, a feather around the whole of it.

Transforms map source pixels to pixels of the 3:4 crop (210 x 280 at 256, 420 x 560 at 512), both counted at
pixel centres. All is computed in float64 or FP32. The reference works in FP16, where a 1080p frame's sampling
grid is off by 0.3 pixels, another way in every frame; it also rounds the landmarks to whole pixels, which a
crop shows as jitter. Neither is repeated here.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.align import Image, Transforms, invert, subsampled, to_chroma
from lipserve.contracts import MESH_POINTS, Landmarks
from lipserve.files.picture import Picture
from lipserve.media.yuv import from_rgb, to_rgb

# The reference takes the means of five points of each brow's upper edge and of four of the nose (bridge,
# tip, wings) of a 106-point network. These are about the same places of the mesh: the brow on the picture's
# left, the one on its right, the nose. On 17 real clips (816 frames) the three points lie 8.9 pixels off
# the template in a crop of 210 x 280 (RMS; the mean of the clips, 5.7 to 12.3). Points were chosen by
# place, not by fit: lower brows and the bridge would lie 5.8 off, but show another part of the face. A
# 68-point scheme (the reference had one before; on the mesh, as others map it, 71, 63, 105, 66, 107 and
# mirrored; 168, 197, 5, 4, 75, 97, 2, 326, 305) lies 9.1 off; its crops are 3.2 pixels from these on
# average, 7.0 at most, and show a face 2.4 % smaller. How far the 106-point original is from either has not
# been measured: its weights were not at hand. Who has them may supply them, and gets its own points.
POINTS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336), (195, 4, 129, 358))
REFERENCE = ((43, 48, 49, 51, 50), (101, 102, 103, 104, 105), (74, 77, 83, 86))  # of the 106
_GROUPS: dict[Landmarks, tuple[tuple[int, ...], ...]] = {
    "mesh": POINTS,
    "106": tuple(tuple(MESH_POINTS + point for point in group) for group in REFERENCE),
}
_TEMPLATE = np.array([(17.0, 20.0), (58.0, 20.0), (37.5, 40.0)])  # of those means, in a crop of 75 x 100
_EXTENT = (75, 100)
_UNIT = 2.8  # pixels at a resolution of 256
_CARRIED = 0.2  # of the last frame's bias
_GREY = 127  # RGB, what lies outside the picture

_FLAGS = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


class Reference:
    """The quality tier's `lipserve.tiers.Geometry`.

    Args:
        landmarks: what faces are aligned by: their mesh, or the 106 points that `ReferenceTracker` adds.
    """

    def __init__(self, resolution: int, landmarks: Landmarks = "mesh") -> None:
        self.size = resolution
        self._groups = _GROUPS[landmarks]
        unit = resolution * _UNIT / 256
        self._template = _TEMPLATE * unit
        self._extent = (round(_EXTENT[0] * unit), round(_EXTENT[1] * unit))

    def transforms(
        self,
        landmarks: NDArray[np.float64],
        runs: NDArray[np.int64],
        pixel_aspect: Fraction,
        extent: tuple[int, int],
    ) -> Transforms:
        """Return the transforms float32 [F, 2, 3] of faces [F, P, 2+] in square pixels.

        The smoothing looks back only, and forgets: what was before eight frames moves a crop by less than
        3e-6 of what it moved it then.

        Args:
            runs: int64 [F], a label that changes where the smoothing begins anew (cuts, gaps).
        """
        points = np.stack([landmarks[:, group, :2].mean(1) for group in self._groups], 1).astype(np.float64)
        exact, bias = fit(points, self._template)
        exact[:, :, 2] += _carry(bias, runs)
        exact[:, :, 0] *= float(pixel_aspect)
        return exact.astype(np.float32)

    def crop(self, picture: Picture, transform: Transforms) -> Image:
        """Return the crop uint8 [S, S, 3] RGB; outside the picture is grey. Only its pixels are converted.

        Bilinear, then Lanczos to the square, as in the reference, whose weights know no other sharpness; its
        values are cut off to whole levels where these are rounded.
        """
        inverse = invert(transform[None])[0]
        chroma = to_chroma(inverse)
        y, u, v = (
            self._cut(*pair) for pair in ((picture.y, inverse), (picture.u, chroma), (picture.v, chroma))
        )
        image = _on_grey(to_rgb(y, u, v, picture.colour), inverse, *picture.y.shape)
        return np.asarray(
            cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_LANCZOS4), np.uint8
        )

    def paste(self, picture: Picture, face: Image, transform: Transforms, weight: float = 1.0) -> None:
        """Blend a generated face uint8 [S, S, 3] RGB into a picture, in place, through the feather.

        Samples where the feather is zero keep their value to the bit. Blended ones are rounded, where the
        reference cuts them off.

        Args:
            weight: 0..1, of the whole feather.
        """
        bounds = self._bounds(transform, *picture.y.shape)
        if bounds is None:
            return
        x0, y0, x1, y1 = bounds
        soft = feather(_moved(transform, x0, y0), (x1 - x0, y1 - y0), self._extent) * np.float32(weight)
        y, u, v = from_rgb(self._stretched(face), picture.colour)
        _blend(picture.y[y0:y1, x0:x1], y, _moved(transform, x0, y0), soft)
        # A chroma sample lies on the left of its four pixels, between the rows.
        below = np.minimum(np.arange(1, len(soft) + 1, 2), len(soft) - 1)
        sparse = (soft[::2, ::2] + soft[below, ::2]) / 2
        rows, columns = slice(y0 // 2, y0 // 2 + len(sparse)), slice(x0 // 2, x0 // 2 + sparse.shape[1])
        matrix = _moved(subsampled(transform), x0 // 2, y0 // 2)
        _blend(picture.u[rows, columns], u, matrix, sparse)
        _blend(picture.v[rows, columns], v, matrix, sparse)

    def _cut(self, plane: Image, inverse: Transforms) -> Image:
        """Return the part of a plane uint8 [h, w] that the 3:4 crop shows."""
        cut = cv2.warpAffine(plane, inverse, self._extent, flags=_FLAGS, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cut, np.uint8)

    def _bounds(self, transform: Transforms, height: int, width: int) -> tuple[int, int, int, int] | None:
        """Return x0, y0, x1, y1 (excluded) of a region that holds what a paste touches; None if nothing.

        It starts on even pixels, and where the picture goes on, at least two pixels of it are untouched.
        """
        corners = np.array([[x, y, 1.0] for x in (-1, self._extent[0]) for y in (-1, self._extent[1])])
        reach = corners @ invert(transform[None])[0].T.astype(np.float64)
        limit = (width, height)
        low = np.clip(np.floor(reach.min(0)) - 2, 0, limit).astype(int) // 2 * 2
        high = np.clip(np.ceil(reach.max(0)) + 3, 0, limit).astype(int)
        if (high <= low).any():
            return None
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _stretched(self, face: Image) -> NDArray[np.float32]:
        """Return a square face as float32 [h, w, 3] RGB, 0..255, of the 3:4 crop."""
        width, height = self._extent
        planes = np.ascontiguousarray(face.transpose(2, 0, 1), np.float32)
        across, down = bicubic(self.size, width), bicubic(self.size, height)
        return np.ascontiguousarray(np.clip(down @ planes @ across.T, 0, 255).transpose(1, 2, 0))


def fit(
    points: NDArray[np.float64], template: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the similarity [F, 2, 3] from points [F, 3, 2] to a template [3, 2], and its bias [F, 2].

    Not least squares: centres and spreads (the deviation of all six coordinates, unbiased) are made equal,
    then the rotation is the best one. In two dimensions that is an angle, which needs no SVD. The bias is how
    far the normalised nose lies off the template's, before the rotation.
    """
    centre, target = points.mean(1, keepdims=True), template.mean(0)
    spread, wanted = _spread(points - centre), _spread((template - target)[None])
    p, q = (points - centre) / spread, (template - target) / wanted[0]
    cos = (p * q).sum((1, 2))
    sin = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1)
    gain = wanted[0, 0, 0] / spread[:, 0, 0] / np.hypot(cos, sin)
    linear = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2) * gain[:, None, None]
    shift = target[:, None] - linear @ centre.transpose(0, 2, 1)
    return np.concatenate([linear, shift], -1), q[2] - p[:, 2]


def _spread(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points.std((1, 2), ddof=1, keepdims=True))


def _carry(bias: NDArray[np.float64], runs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the bias [F, 2] after its recursive filter, which begins anew where the run changes."""
    out = bias.copy()
    for frame in range(1, len(bias)):
        if runs[frame] == runs[frame - 1]:
            out[frame] = _CARRIED * out[frame - 1] + (1 - _CARRIED) * bias[frame]
    return out


def feather(transform: Transforms, size: tuple[int, int], extent: tuple[int, int]) -> NDArray[np.float32]:
    """Return the weight [h, w], 0..1, of a crop in a region of the picture.

    The crop's rectangle, less its first row and column, is eroded by a twentieth of its side and blurred as
    wide: the weight is zero at the rectangle's border, and one a tenth of the side inside it.

    The reference multiplies the face by its coverage once more and the frame not, which darkens the outermost
    pixels of small faces; here the weights of face and frame add up to one.

    Args:
        transform: pixels of the region to those of the crop.
        size: w, h of the region; `extent` of the crop.
    """
    ones = np.ones(extent[::-1], np.float32)
    covered = cv2.erode(cv2.warpAffine(ones, transform, size, flags=_FLAGS), np.ones((2, 2), np.uint8))
    reach = int(np.sqrt(covered.sum(dtype=np.float64))) // 20
    side = 2 * reach + 1
    kernel = 2 * reach or 3  # OpenCV takes an empty one for 3 x 3
    inner = cv2.erode(covered, np.ones((kernel, kernel), np.uint8))
    sigma = 0.3 * ((side - 1) * 0.5 - 1) + 0.8
    soft = cv2.GaussianBlur(inner, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(soft * covered, np.float32)


@cache
def bicubic(length: int, new: int) -> NDArray[np.float32]:
    """Return the matrix [new, length] that resizes an axis, antialiased: Keys' cubic (1981) with a = -0.5.

    It is what torch and Pillow call bicubic; OpenCV's has a = -0.75, and does not antialias.
    """
    step = length / new
    stretch = max(step, 1.0)
    centre = (np.arange(new) + 0.5) * step
    x = np.abs(np.arange(length) + 0.5 - centre[:, None]) / stretch
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _on_grey(image: Image, inverse: Transforms, height: int, width: int) -> Image:
    """Return a crop with grey where it lies outside the picture, blended by how much of a pixel does.

    Args:
        inverse: crop pixel -> pixel of the picture, `width` x `height`.
    """
    rows, columns = np.indices(image.shape[:2])
    x, y = (row[0] * columns + row[1] * rows + row[2] for row in inverse.astype(np.float64))
    inside = np.minimum(x + 1, width - x).clip(0, 1) * np.minimum(y + 1, height - y).clip(0, 1)
    if inside.min() == 1:
        return image
    return np.asarray(np.rint(_GREY + inside[..., None] * (image - float(_GREY))), np.uint8)


def _moved(transform: Transforms, x: int, y: int) -> Transforms:
    """Return a transform that counts its source pixels from (x, y)."""
    out = transform.astype(np.float64)
    out[:, 2] += out[:, :2] @ (x, y)
    return out.astype(np.float32)


def _blend(target: Image, face: NDArray[Any], transform: Transforms, weights: NDArray[np.float32]) -> None:
    """Blend one channel of a crop into a region of its plane, in place."""
    height, width = target.shape
    new = cv2.warpAffine(face, transform, (width, height), flags=_FLAGS, borderMode=cv2.BORDER_REPLICATE)
    old = target.astype(np.float32)
    target[:] = np.rint(old + weights * (new - old)).astype(np.uint8)
