"""Rendering of wanted shapes: inputs of the renderer, and its flows, shares and paint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import FLOW_SIZE, MOUTH_SIZE, PAINT_SIZE
from lipserve.files.picture import Colour
from lipserve.leaves import Leaves
from lipserve.lipwarp.flow import lip_masks, point_flow, warped
from lipserve.lipwarp.geometry import soft_mask
from lipserve.lipwarp.memory import BESIDE, beside
from lipserve.lipwarp.shapes import Series, displacement, shipped_basis
from lipserve.lipwarp.source import Person

BATCH = 16  # mouths in one call of the renderer: enough to spread the cost of the call, small in memory
_FARTHEST = 24.0  # levels of 255 that colours are made alike by
_SKIN = (soft_mask() > 0.05).astype(np.uint8)


@dataclass(frozen=True)
class Mouths:
    """One person's mouths in some frames: the contract's FACES, POINTS, SHAPES and POSES, [N, ...]."""

    faces: NDArray[np.uint8]
    points: NDArray[np.float32]
    shapes: NDArray[np.float32]
    poses: NDArray[np.float32]


def render(
    leaves: Leaves, mouths: Mouths, wanted: Series, person: Person, colour: Colour, step: Callable[[], None]
) -> dict[str, NDArray[Any]]:
    """Return FLOW, BLEND, PAINT, MEMORIES, SHARES and OFFSETS, as the contract says.

    Args:
        wanted: float64 [N, K], shapes beside the person's closed mouth.
        step: called before every call of the renderer.
    """
    count = len(wanted)
    remembered, shares = beside(wanted, person.shapes)
    crops = [memory.crop(colour) for memory in person.memories]
    places = np.stack([memory.points for memory in person.memories])
    out = blank(count) | {"MEMORIES": remembered, "SHARES": shares}
    target = mouths.points + displacement(wanted - mouths.shapes, mouths.poses, shipped_basis())
    for first in range(0, count, BATCH):
        step()
        part = slice(first, first + BATCH)
        sources = np.concatenate([mouths.points[part, None], places[remembered[part]]], 1)
        flows = point_flow(target[part], sources)
        shown = [
            _shown(face, [crops[index] for index in indices], share, flow, points)
            for face, indices, share, flow, points in zip(
                mouths.faces[part], remembered[part], shares[part], flows, target[part], strict=True
            )
        ]
        current, memory, lips, offsets = (np.stack(values) for values in zip(*shown, strict=True))
        given = leaves("lip_renderer", {"CURRENT": current, "MEMORY": memory, "LIPS": lips})
        flows[:, 0] += given["FLOW"][..., :2]
        flows[:, 1:] += given["FLOW"][:, None, ..., 2:]
        out["FLOW"][part], out["BLEND"][part], out["PAINT"][part] = flows, given["BLEND"], given["PAINT"]
        out["OFFSETS"][part] = offsets
    return out


def blank(count: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of `render`, all zero, for this number of mouths."""
    return {
        "FLOW": np.zeros((count, 1 + BESIDE, FLOW_SIZE, FLOW_SIZE, 2), np.float16),
        "BLEND": np.zeros((count, MOUTH_SIZE, MOUTH_SIZE, 2), np.uint8),
        "PAINT": np.zeros((count, PAINT_SIZE, PAINT_SIZE, 3), np.uint8),
        "MEMORIES": np.zeros((count, BESIDE), np.int32),
        "SHARES": np.zeros((count, BESIDE), np.float32),
        "OFFSETS": np.zeros((count, 3), np.float32),
    }


def _shown(
    face: NDArray[np.uint8],
    memories: list[NDArray[np.uint8]],
    shares: NDArray[np.float32],
    flows: NDArray[np.float32],
    target: NDArray[np.float32],
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Return CURRENT, MEMORY and LIPS of one frame, and what the memory's colours lacked."""
    current, lips = warped(face, flows[0]), lip_masks(target)
    first, second = map(warped, memories, flows[1:])
    mixed = cv2.addWeighted(first, float(shares[0]), second, float(shares[1]), 0, dtype=cv2.CV_32F)
    offset = colour_offset(current, np.asarray(mixed, np.float32), lips[..., 1])
    memory = cv2.add(mixed, np.array([*offset, 0.0], np.float64), dtype=cv2.CV_8U)  # to the nearest level
    return current, np.asarray(memory, np.uint8), lips, offset


def colour_offset(
    current: NDArray[np.uint8], memory: NDArray[np.float32], lips: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Return what to add to a remembered mouth, float32 [3] RGB, so that the skin around the lips is alike.

    Args:
        current, memory: [S, S, 3], moved to one shape. lips: uint8 [S, S], inside the outer contour.
    """
    skin = _SKIN & (lips < 128)
    lack = np.subtract(cv2.mean(current, skin)[:3], cv2.mean(memory, skin)[:3])
    return np.asarray(np.clip(lack, -_FARTHEST, _FARTHEST), np.float32)
