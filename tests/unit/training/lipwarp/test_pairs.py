from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lipserve.errors import SetupError
from lipserve.files.picture import Colour
from lipserve.lipwarp import render
from lipserve.lipwarp.compose import Patch
from lipserve.lipwarp.source import Memory, Person
from lipserve_training.data import store
from lipserve_training.lipwarp import footage, pairs
from lipserve_training.lipwarp.pairs import Drawn, Pairs
from lipserve_training.lipwarp.recipes import Disturbance, RendererRecipe


def recipe(**augment: float) -> RendererRecipe:
    still = dict.fromkeys(Disturbance.model_fields, 0.0)
    return RendererRecipe.model_validate({"run": {"steps": 4, "pairs": 3}, "augment": {**still, **augment}})


def drawn(dataset: Path, settings: RendererRecipe, step: int = 0) -> Drawn:
    return Pairs(dataset, store.read_index(dataset), settings)(step)


def test_shapes_and_kinds(dataset: Path) -> None:
    batch = drawn(dataset, RendererRecipe.model_validate({"run": {"steps": 1, "pairs": 3}}))
    shapes = {name: (value.shape, value.dtype) for name, value in vars(batch).items()}
    picture = ((6, 96, 96, 3), np.uint8)
    assert shapes == {
        "current": picture, "memories": ((6, 2, 96, 96, 3), np.uint8),
        "flows": ((6, 3, 48, 48, 2), np.float32), "moved": picture,
        "memory": picture, "lips": ((6, 96, 96, 2), np.uint8),
        "shares": ((6, 2), np.float32), "offsets": ((6, 3), np.float32), "target": picture,
    }  # fmt: skip
    np.testing.assert_allclose(batch.shares.sum(1), 1, atol=1e-6)
    placed = batch.to(torch.device("cpu"))
    assert tuple(placed.memories.shape) == (6, 2, 3, 96, 96)
    assert tuple(placed.flows.shape) == (6, 3, 2, 48, 48)
    assert float(placed.target[2, 1, 40, 50]) == pytest.approx(batch.target[2, 40, 50, 1] / 255)
    assert float(placed.flows[1, 2, 0, 20, 30]) == batch.flows[1, 2, 20, 30, 0]
    assert float(placed.target.max()) <= 1


def test_a_batch_depends_on_seed_and_step_alone_and_travels(dataset: Path) -> None:
    settings = RendererRecipe.model_validate({"run": {"steps": 1, "pairs": 3}})
    draw = Pairs(dataset, store.read_index(dataset), settings)
    one = draw(7)
    for same in (draw(7), pickle.loads(pickle.dumps(draw))(7)):
        assert all(np.array_equal(value, vars(same)[name]) for name, value in vars(one).items())
    assert not np.array_equal(one.target, draw(8).target)


def test_the_same_frame_costs_nothing_to_make(dataset: Path) -> None:
    """With `same`, what is wanted is the current picture: nothing moves, and the picture is the truth."""
    batch = drawn(dataset, recipe(same=1))
    assert np.abs(batch.flows[:, 0]).max() < 1e-4
    np.testing.assert_array_equal(batch.current, batch.target)
    assert np.abs(batch.moved.astype(int) - batch.target).max() <= 1
    assert np.abs(drawn(dataset, recipe(same=0)).flows[:, 0]).max() > 0.1


def test_frames_of_a_pair_are_neighbours_and_others_are_remembered(dataset: Path) -> None:
    """Pictures of the tiny dataset are random: each is known by itself."""
    entries = [entry for entry in store.read_index(dataset) if entry.speaker == "ben"]
    clip = footage.read(dataset, entries[0])
    assert clip.mouths is not None
    own = [
        cv2.warpAffine(mouth, clip.placement, (96, 96), borderMode=cv2.BORDER_REPLICATE)
        for mouth in clip.mouths
    ]

    def frame(picture: np.ndarray) -> int:
        return int(np.argmin([np.abs(picture.astype(int) - other).mean() for other in own]))

    draw = Pairs(dataset, entries, recipe(shape=0.03, few=0.5))
    for step in range(4):
        batch = draw(step)
        for pair in range(3):
            first, second = 2 * pair, 2 * pair + 1
            wanted = frame(batch.target[first])
            assert frame(batch.target[second]) == wanted + 1
            assert frame(batch.current[second]) == frame(batch.current[first]) + 1
            remembered = [frame(memory) for at in (first, second) for memory in batch.memories[at]]
            assert all(at < wanted - 3 or at > wanted + 4 for at in remembered)


def test_a_pair_shows_the_pictures_of_the_stage(dataset: Path) -> None:
    """A grey picture goes through planes of luma unharmed, so the stage's own inputs can be compared."""
    entry = store.read_index(dataset)[0]
    clip = footage.read(dataset, entry)
    assert clip.mouths is not None
    own = [
        np.repeat(
            cv2.cvtColor(cv2.warpAffine(mouth, clip.placement, (96, 96)), cv2.COLOR_RGB2GRAY)[..., None],
            3,
            -1,
        )
        for mouth in clip.mouths
    ]
    kept = np.array([0, 5, 9])
    order, shares = pairs.beside(clip.shapes[[3]], clip.shapes[kept])
    sources = [3, *kept[order[0]]]
    made = pairs._frame(
        own[3], [own[i] for i in sources[1:]], clip.points[3], clip.points[sources], shares[0], own[3]
    )

    full = Colour(full_range=True)
    planes = [(picture[..., 0].copy(), *(np.full((48, 48), 128, np.uint8) for _ in "uv")) for picture in own]
    eye = np.eye(2, 3, dtype=np.float32)
    memories = tuple(Memory(Patch(planes[i], eye), clip.points[i], clip.shapes[i]) for i in kept)
    person = Person(np.zeros((1, 4)), np.zeros((133, 3)), 1.0, memories)
    shown: dict[str, np.ndarray] = {}

    def leaves(name: str, inputs: dict[str, np.ndarray], outputs: object = None) -> dict[str, np.ndarray]:
        shown.update(inputs)
        return {
            "FLOW": np.zeros((1, 48, 48, 4), np.float32), "BLEND": np.zeros((1, 96, 96, 2), np.uint8),
            "PAINT": np.zeros((1, 48, 48, 3), np.uint8),
        }  # fmt: skip

    mouths = render.Mouths(own[3][None], clip.points[[3]], clip.shapes[[3]], np.zeros((1, 2, 3), np.float32))
    out = render.render(leaves, mouths, clip.shapes[[3]], person, full, lambda: None)
    names = ("flows", "moved", "memory", "lips", "offsets")
    _, _, flows, moved, memory, lips, _, offset, _ = made
    theirs = (
        out["FLOW"][0],
        shown["CURRENT"][0],
        shown["MEMORY"][0],
        shown["LIPS"][0],
        out["OFFSETS"][0] / 255,
    )
    for name, ours, other in zip(names, (flows, moved, memory, lips, offset), theirs, strict=True):
        tolerance = {"flows": 0.02, "offsets": 0.005}.get(name, 1)
        assert np.abs(ours.astype(float) - other).max() <= tolerance, name
    np.testing.assert_array_equal(out["MEMORIES"][0], order[0])


def test_clips_that_are_too_short_are_told(dataset: Path) -> None:
    short = [entry.model_copy(update={"frames": 11}) for entry in store.read_index(dataset)]
    with pytest.raises(SetupError, match="has 12 frames"):
        Pairs(dataset, short, recipe())
