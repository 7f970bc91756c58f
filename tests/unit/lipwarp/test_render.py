"""Wanted shapes to flows: what the renderer is shown, and what is made of its answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.contracts.lipwarp import FLOW_SIZE, LIPWARP_GENERATE, MOUTH_SIZE, SHAPES
from lipserve.lipwarp.flow import lip_masks, point_flow, warped
from lipserve.lipwarp.points import FACE_EDGE, LIPS
from lipserve.lipwarp.render import BATCH, Mouths, colour_offset, render, within_face
from lipserve.lipwarp.shapes import shipped_basis
from lipserve.lipwarp.source import Person
from tests.support.pictures import BT709, textured
from tests.unit.lipwarp.people import Networks, person, points_in_crop

POSE = np.array(
    [[40.0, 0, 0], [0, 40.0, 0]], np.float32
)  # pixels of the crop in an eye distance, straight ahead
WHO = person([0.0], [0.8])


def mouths(count: int, shape: float = 0.0) -> Mouths:
    """Return the mouth that the first memory shows, `count` times, all of that shape."""
    crop = WHO.memories[0].crop(BT709)
    shapes = np.zeros((count, SHAPES), np.float32)
    shapes[:, 0] = shape
    points = np.tile(points_in_crop((shape,)), (count, 1, 1))
    return Mouths(np.tile(crop, (count, 1, 1, 1)), points, shapes, np.tile(POSE, (count, 1, 1)))


def wanted(*openings: float) -> NDArray[np.float64]:
    out = np.zeros((len(openings), SHAPES))
    out[:, 0] = openings
    return out


def made(
    leaves: Networks, seen: Mouths, shapes: NDArray[np.float64], who: Person = WHO
) -> dict[str, NDArray[Any]]:
    return render(leaves, seen, shapes, who, BT709, lambda: None)


def test_results_have_the_types_and_shapes_of_the_contract() -> None:
    out = made(Networks(), mouths(3), wanted(0.0, 0.3, 0.6))
    for tensor in LIPWARP_GENERATE.outputs:
        if tensor.name in ("ASKED", "QUIET"):  # of the speech, not of the mouths
            continue
        assert out[tensor.name].shape == (3, *tensor.dims[1:])
        assert (
            out[tensor.name].dtype == {"FP16": "f2", "UINT8": "u1", "INT32": "i4", "FP32": "f4"}[tensor.dtype]
        )


def test_a_mouth_that_is_as_it_is_wanted_is_shown_as_it_is() -> None:
    leaves = Networks()
    out = made(leaves, mouths(1), wanted(0.0))
    shown = leaves.given[0]
    np.testing.assert_array_equal(shown["CURRENT"][0], mouths(1).faces[0])
    np.testing.assert_array_equal(shown["LIPS"][0], lip_masks(points_in_crop()))
    assert not out["FLOW"][:, 0].any()
    assert out["MEMORIES"].tolist() == [[0, 1]]
    assert out["SHARES"][0, 0] > 0.99


def test_an_opening_moves_the_points_by_the_pose_and_the_directions() -> None:
    leaves = Networks()
    out = made(leaves, mouths(1), wanted(0.5))
    target = points_in_crop() + (0.5 * shipped_basis().directions[0] @ POSE.T).astype(np.float32)
    expected = point_flow(target, points_in_crop()[None])[0]
    np.testing.assert_allclose(out["FLOW"][0, 0], expected, atol=5e-3)  # of half precision
    assert np.abs(expected).max() > 1
    np.testing.assert_array_equal(leaves.given[0]["LIPS"][0], lip_masks(target))
    np.testing.assert_array_equal(leaves.given[0]["CURRENT"][0], warped(mouths(1).faces[0], expected))
    for number, index in enumerate(out["MEMORIES"][0], 1):
        remembered = point_flow(target, WHO.memories[index].points[None])[0]
        np.testing.assert_allclose(out["FLOW"][0, number], remembered, atol=2e-2)


def test_the_renderers_flows_are_added_the_current_pictures_and_the_memories_own() -> None:
    plain = made(Networks(), mouths(2), wanted(0.1, 0.5))["FLOW"].astype(np.float64)
    out = made(Networks(flow=(1.5, -2.0, 0.25, 3.0)), mouths(2), wanted(0.1, 0.5))["FLOW"].astype(np.float64)
    np.testing.assert_allclose(
        out[:, 0] - plain[:, 0], np.broadcast_to([1.5, -2.0], (2, FLOW_SIZE, FLOW_SIZE, 2)), atol=0.02
    )
    np.testing.assert_allclose(
        out[:, 1:] - plain[:, 1:], np.broadcast_to([0.25, 3.0], (2, 2, FLOW_SIZE, FLOW_SIZE, 2)), atol=0.02
    )


def test_shares_and_paint_are_handed_on_within_the_face() -> None:
    out = made(Networks(blend=(200, 7), paint=99), mouths(2), wanted(0.1, 0.5))
    left, right = points_in_crop()[LIPS][[0, 10]].round().astype(int)
    mouth = np.s_[:, left[1] - 5 : left[1] + 6, left[0] : right[0]]
    assert (out["BLEND"][mouth] == np.uint8([200, 7])).all()
    assert (out["PAINT"] == 99).all()


def test_remembered_mouths_and_paint_have_no_share_beside_the_face() -> None:
    """There a remembered mouth shows what was behind the person at its own time."""
    target, full = points_in_crop((0.4,)), np.full((MOUTH_SIZE, MOUTH_SIZE, 2), 200, np.uint8)
    inside = within_face(full, target)
    lips = target[LIPS]
    for x, y in np.rint(lips).astype(int):
        assert (inside[y, x] == 200).all()
    chin = target[FACE_EDGE][:, 1].max()
    assert chin < MOUTH_SIZE - 12
    assert not inside[round(chin) + 8 :].any()
    assert (within_face(full, target + np.float32(500)) == 0).all()
    assert (within_face(0 * full, target) == 0).all()


def test_the_memory_is_the_mouths_moved_and_mixed() -> None:
    leaves = Networks()
    out = made(leaves, mouths(1), wanted(0.4))
    target = points_in_crop() + (0.4 * shipped_basis().directions[0] @ POSE.T).astype(np.float32)
    mixed = np.zeros((MOUTH_SIZE, MOUTH_SIZE, 3))
    for index, share in zip(out["MEMORIES"][0], out["SHARES"][0], strict=True):
        kept = WHO.memories[index]
        mixed += share * warped(kept.crop(BT709), point_flow(target, kept.points[None])[0])
    shown = leaves.given[0]["MEMORY"][0].astype(np.float64)
    assert np.abs(shown - np.clip(mixed + out["OFFSETS"][0], 0, 255)).max() <= 1


def test_a_memory_without_a_share_is_not_moved() -> None:
    """Here the wanted mouth is the first remembered one to the bit, and the second has nothing to add."""
    leaves = Networks(flow=(0.0, 0.0, 1.0, 2.0))
    out = made(leaves, mouths(1), wanted(0.0))
    assert out["SHARES"].tolist() == [[1, 0]]
    np.testing.assert_array_equal(out["FLOW"][0, 2], np.broadcast_to([1, 2], (FLOW_SIZE, FLOW_SIZE, 2)))
    np.testing.assert_array_equal(leaves.given[0]["MEMORY"][0], WHO.memories[0].crop(BT709))


@pytest.mark.parametrize(("levels", "offset"), [(10, 10), (-12, -12), (60, 24)])
def test_a_memory_is_made_as_light_as_the_frame_within_limits(levels: int, offset: int) -> None:
    dim = textured(640, 640)
    seen = mouths(1)
    lit = np.clip(seen.faces.astype(int) + levels, 0, 255).astype(np.uint8)
    out = made(
        Networks(), Mouths(lit, seen.points, seen.shapes, seen.poses), wanted(0.0), person([0.0], picture=dim)
    )
    np.testing.assert_allclose(out["OFFSETS"][0], offset, atol=0.5)


def test_lips_have_no_say_in_the_light() -> None:
    rng = np.random.default_rng(0)
    current = rng.integers(60, 200, (MOUTH_SIZE, MOUTH_SIZE, 3)).astype(np.uint8)
    memory, lips = current.astype(np.float32) - 7, lip_masks(points_in_crop((0.8,)))[..., 1]
    memory[lips >= 128] = 250
    np.testing.assert_allclose(colour_offset(current, memory, lips), 7, atol=0.01)
    corners = np.zeros((MOUTH_SIZE, MOUTH_SIZE), bool)
    corners[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    memory[corners] = 0  # outside of the mask
    np.testing.assert_allclose(colour_offset(current, memory, lips), 7, atol=0.01)


@pytest.mark.parametrize("count", [0, 1, BATCH, 2 * BATCH + 5])
def test_the_renderer_is_called_in_batches_and_told_of_before_each(count: int) -> None:
    leaves, told = Networks(), []
    openings = np.linspace(0, 0.7, count)
    render(leaves, mouths(count), wanted(*openings), WHO, BT709, lambda: told.append(len(leaves.batches)))
    sizes = [rows for _, rows in leaves.batches]
    assert sum(sizes) == count
    assert max(sizes, default=0) <= BATCH
    assert told == list(range(len(sizes)))


def test_a_frame_does_not_depend_on_those_beside_it() -> None:
    openings = np.linspace(-0.1, 0.9, 21)
    together = made(Networks(), mouths(21, 0.2), wanted(*openings))
    for row in (0, 7, 20):
        alone = made(Networks(), mouths(1, 0.2), wanted(openings[row]))
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][row], atol=2e-2, err_msg=name)


def test_somebody_with_one_mouth_is_made_of_it_alone() -> None:
    out = made(Networks(), mouths(2), wanted(0.1, 0.5), person([0.3]))
    assert out["MEMORIES"].tolist() == [[0, 0], [0, 0]]
    assert out["SHARES"].tolist() == [[1, 0], [1, 0]]


def test_a_frame_where_points_do_not_move_has_no_flow_however_the_face_stands() -> None:
    """A turned face: the pose decides where a change goes, and no change goes nowhere."""
    seen = mouths(1, 0.4)
    turned = Mouths(
        seen.faces, seen.points, seen.shapes, seen.poses @ np.diag([0.2, 3.0, -1.0]).astype(np.float32)
    )
    assert not made(Networks(), turned, wanted(0.4).astype(np.float32).astype(np.float64))["FLOW"][:, 0].any()
