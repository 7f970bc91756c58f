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
from lipserve.lipwarp.flow import face_mask, lip_masks, point_flow, stored, warped
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
        rows = range(first, min(first + BATCH, count))
        part = slice(rows.start, rows.stop)
        shown = [
            _shown(mouths, row, target[row], [(places[i], crops[i]) for i in remembered[row]], shares[row])
            for row in rows
        ]
        flows, current, memory, lips, offsets = (np.stack(values) for values in zip(*shown, strict=True))
        given = leaves("lip_renderer", {"CURRENT": current, "MEMORY": memory, "LIPS": lips})
        flows[:, 0] += given["FLOW"][..., :2]
        flows[:, 1:] += given["FLOW"][:, None, ..., 2:]
        out["FLOW"][part], out["PAINT"][part], out["OFFSETS"][part] = stored(flows), given["PAINT"], offsets
        for row, blend in zip(rows, given["BLEND"], strict=True):
            out["BLEND"][row] = within_face(blend, target[row])
    return out


def within_face(blend: NDArray[np.uint8], target: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the shares [S, S, 2] of remembered mouths and of paint, none of them beside the wanted face.

    There a remembered mouth shows what was behind the person at its own time.
    """
    mask = face_mask(target)
    return np.asarray(cv2.multiply(blend, cv2.merge([mask, mask]), scale=1 / 255), np.uint8)


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
    mouths: Mouths,
    row: int,
    target: NDArray[np.float32],
    memories: list[tuple[NDArray[np.float32], NDArray[np.uint8]]],
    shares: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Return the points' flows, CURRENT, MEMORY and LIPS of one frame, and what the memory's colours lacked.

    A remembered mouth without a share is left out: its flow is zero.

    Args:
        memories: points and crop of the remembered mouths, the one with the larger share first.
    """
    used = [memory for memory, share in zip(memories, shares, strict=True) if share > 0]
    flows = np.zeros((1 + BESIDE, FLOW_SIZE, FLOW_SIZE, 2), np.float32)
    flows[: 1 + len(used)] = point_flow(
        target, np.stack([mouths.points[row], *(points for points, _ in used)])
    )
    current, lips = warped(mouths.faces[row], flows[0]), lip_masks(target)
    moved = [warped(crop, flow) for (_, crop), flow in zip(used, flows[1:], strict=False)]
    mixed = np.asarray(moved[0], np.float32)
    if len(moved) > 1:
        both = cv2.addWeighted(moved[0], float(shares[0]), moved[1], float(shares[1]), 0, dtype=cv2.CV_32F)
        mixed = np.asarray(both, np.float32)
    offset = colour_offset(current, mixed, lips[..., 1])
    memory = cv2.add(mixed, np.array([*offset, 0.0], np.float64), dtype=cv2.CV_8U)  # to the nearest level
    return flows, current, np.asarray(memory, np.uint8), lips, offset


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
