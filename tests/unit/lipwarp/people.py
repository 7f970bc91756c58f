"""A person without a photograph: a mesh of a known lip shape, mouths of a texture, stand-ins for leaves."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve import align
from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE, PAINT_SIZE, ROWS, SHAPES, STATE_WIDTH, STATES
from lipserve.files.picture import Picture
from lipserve.lipwarp.geometry import mouth_transforms, to_crop
from lipserve.lipwarp.points import FACE_EDGE, INNER, JAW, MOVED, OUTER, RIGID
from lipserve.lipwarp.shapes import Basis, shipped_basis
from lipserve.lipwarp.source import Memory, Person, remember
from tests.support.pictures import textured

WINGS = [np.flatnonzero(point == MOVED)[0] for point in (98, 327)]  # of the nose: both RIGID and MOVED
SIDE = 340.0  # pixels, of the face crop in pictures of 640 x 640
CORNER = (130.0, 90.0)  # where its corner lies there


def _stiff(basis: Basis) -> Basis:
    """Return a basis in which the nose does not move, so that a mesh can have any shape exactly."""
    directions = basis.directions.copy()
    directions[:, WINGS] = 0
    q, r = np.linalg.qr(directions.reshape(basis.count, -1).T)
    whole = (q * np.sign(np.diag(r))).T.reshape(directions.shape)
    return Basis(basis.rigid, whole, basis.deviation)


BASIS = _stiff(shipped_basis())


def closed() -> NDArray[np.float64]:
    """Return a closed mouth and its lower face from the front [133, 3], in eye distances."""
    points = np.random.default_rng(3).uniform([-0.45, 0.5, -0.2], [0.45, 1.2, 0.3], (len(MOVED), 3))
    for contour, height in ((OUTER, 0.11), (INNER, 0.004)):
        angle = np.pi - 2 * np.pi * np.arange(20) / 20  # from the left corner over the lower lip
        points[contour, 0] = (0.27 if contour == OUTER else 0.2) * np.cos(angle)
        points[contour, 1] = 0.76 + height * np.sin(angle)
        points[contour, 2] = -0.2
    around = np.pi * np.arange(len(JAW)) / (len(JAW) - 1)  # from the left ear over the chin
    points[FACE_EDGE, :2] = np.stack([-0.75 * np.cos(around), 0.25 + 0.95 * np.sin(around)], 1)
    points[WINGS] = BASIS.rigid[[np.flatnonzero(point == RIGID)[0] for point in (98, 327)]]
    return points


def mesh(
    shape: Sequence[float] = (), rotation: NDArray[np.float64] | None = None, scale: float = 1.0
) -> NDArray[np.float64]:
    """Return a mesh [468, 3] whose mouth differs from the closed one by a shape.

    Args:
        rotation: [3, 3], from the front to the picture; None: it looks straight ahead.
        scale: pixels in an eye distance; of 1 it is about the place of `BASIS.rigid`.
    """
    change = np.zeros(BASIS.count)
    change[: len(shape)] = shape
    landmarks = np.random.default_rng(4).uniform(-0.7, 1.2, (468, 3))
    landmarks[MOVED] = closed() + np.tensordot(change, BASIS.directions, 1)
    landmarks[RIGID] = BASIS.rigid
    return scale * landmarks @ (np.eye(3) if rotation is None else rotation).T


def turned(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> NDArray[np.float64]:
    """Return a rotation [3, 3] by angles in radians about the axes y, x and z."""
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def crop_transform(
    side: float = SIDE, angle: float = 0.0, corner: tuple[float, float] = CORNER
) -> align.Transforms:
    """Return the transform [2, 3] of the mouth crop of a face whose square lies so in its picture."""
    linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / side
    unit = np.concatenate([linear, -(linear @ np.array(corner))[:, None]], 1)
    return mouth_transforms(unit[None].astype(np.float32))[0]


def points_in_crop(shape: Sequence[float] = ()) -> NDArray[np.float32]:
    """Return the MOVED points [133, 2] of a frontal face in its mouth crop."""
    eyes = align.TEMPLATE[[0, 3]]  # where the outer corners lie in the unit face crop
    scale = float(eyes[1, 0] - eyes[0, 0])
    placed = mesh(shape)[MOVED] * scale + [*eyes.mean(0), 0.0] - [0, scale * BASIS.rigid[0, 1], 0]
    return to_crop(
        placed[None], mouth_transforms(np.array([[[1, 0, 0], [0, 1, 0]]], np.float32)), Fraction(1)
    )[0]


def memory(picture: Picture, shape: Sequence[float], transform: align.Transforms | None = None) -> Memory:
    """Return the mouth that a picture shows, said to have that shape."""
    whole = np.zeros(SHAPES)
    whole[: len(shape)] = shape
    return remember(
        picture, crop_transform() if transform is None else transform, points_in_crop(shape), whole
    )


def person(*shapes: Sequence[float], picture: Picture | None = None) -> Person:
    """Return somebody with a remembered mouth for each shape, all cut from one picture."""
    shown = picture or textured(640, 640)
    memories = tuple(memory(shown, shape) for shape in shapes or ([0.0], [0.8]))
    return Person(np.array([[0.0, 300.0, 280.0, 340.0]]), closed(), 0.7, memories)


class Networks:
    """Stands for the tier's leaves, with answers that can be worked out by hand.

    The encoder gives the mean of each pair of mel columns, the motion part its shape of it, the renderer
    constant corrections; `batches` holds the rows of every call.
    """

    def __init__(
        self, flow: Sequence[float] = (0, 0, 0, 0), blend: Sequence[int] = (0, 0), paint: int = 0
    ) -> None:
        self._flow, self._blend, self._paint = flow, blend, paint
        self.batches: list[tuple[str, int]] = []
        self.given: list[dict[str, NDArray[Any]]] = []

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        count = len(next(iter(inputs.values())))
        self.batches.append((model, count))
        self.given.append(inputs)
        if model == "speech_encoder":
            rows = inputs["MEL"].reshape(count, 80, ROWS, 2).mean((1, 3))
            return {"STATES": np.repeat(rows[..., None], STATES * STATE_WIDTH, -1).astype(np.float32)}
        if model == "lip_motion":
            return {"SHAPES": inputs["STATES"][..., :1] * np.arange(1, SHAPES + 1, dtype=np.float32)}
        assert model == "lip_renderer"
        return {
            "FLOW": np.tile(np.float32(self._flow), (count, FLOW_SIZE, FLOW_SIZE, 1)),
            "BLEND": np.tile(np.uint8(self._blend), (count, MOUTH_SIZE, MOUTH_SIZE, 1)),
            "PAINT": np.full((count, PAINT_SIZE, PAINT_SIZE, 3), self._paint, np.uint8),
        }
