from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve import align
from lipserve.lipwarp.geometry import mouth_transforms, to_crop
from lipserve.lipwarp.points import MOVED
from lipserve.lipwarp.shapes import shipped_basis
from lipserve.quality import lips
from lipserve_training.data import store, track
from lipserve_training.lipwarp import footage


@pytest.fixture(scope="module")
def clips(dataset: Path) -> list[footage.Footage]:
    return [footage.read(dataset, entry) for entry in store.read_index(dataset)]


def test_the_shapes_are_those_that_the_meshes_were_made_of(clips: list[footage.Footage]) -> None:
    """Faces whose mouths open by up to 0.6 in the first direction, and hardly move in the others."""
    for clip in clips:
        assert clip.shapes.shape == (12, 8)
        assert 0.56 < np.ptp(clip.shapes[:, 0]) <= 0.61
        assert lips.correlation(clip.shapes[:, 0], clip.lips[:, 0]) > 0.95
        assert 0.005 < np.abs(clip.shapes[:, 1:]).mean() < 0.03
        closed = np.argsort(clip.lips[:, 0])[:3]  # the most closed ones: a seventh, three at least
        np.testing.assert_allclose(clip.shapes[closed].mean(0), 0, atol=1e-6)


def test_points_lie_where_the_served_crop_has_them(dataset: Path, clips: list[footage.Footage]) -> None:
    """A picture whose pixels are the unit crop's thousandth parts stands for the source."""
    clip, meshes = clips[0], store.read(dataset, clips[0].entry.clip).meshes
    unit = np.repeat(np.array([[[0.001, 0, 0.2], [0, 0.001, 0.1]]], np.float32), len(meshes), 0)
    picture = (meshes[..., :2] - [0.2, 0.1]) * 1000
    served = to_crop(picture[:, MOVED], mouth_transforms(unit), 1)  # type: ignore[arg-type]
    np.testing.assert_allclose(clip.points, served, atol=2e-3)


@pytest.mark.parametrize("size", [256, 384])
def test_kept_footage_holds_the_mouth_crop_where_its_placement_says(size: int, tmp_path: Path) -> None:
    """A ramp over the stored crop tells each pixel where it is in the unit crop."""
    ramp = (np.arange(size) + 0.5) / size * 255
    picture = np.stack([*np.meshgrid(ramp, ramp), np.zeros((size, size))], -1).astype(np.uint8)
    meshes = np.repeat(np.random.default_rng(0).normal(0, 1, (1, 468, 3)), 3, 0).astype(np.float32)
    clip = store.Clip([store.encode(picture)] * 3, np.zeros(1920, np.float32), np.zeros((3, 4)), meshes)
    store.write(tmp_path, "a", clip)
    entry = store.Entry(
        clip="a", speaker="ann", frames=3, source="a.mp4", sha256="0" * 64, first_frame=0, offset=0, sync=0
    )
    read = footage.read(tmp_path, entry)
    assert read.mouths is not None
    height, width = read.mouths.shape[1:3]
    assert (height, width) == (187, 189)
    crop = cv2.warpAffine(read.mouths[0], read.placement, (96, 96))
    unit = align.invert(mouth_transforms(np.eye(2, 3, dtype=np.float32)[None]))[0]
    for x, y in ((0, 0), (95, 40), (50, 95)):
        place = unit[:, :2] @ [x, y] + unit[:, 2]
        shown = crop[y, x, :2] / 255 * float(track.REGION) - (float(track.REGION) - 1) / 2
        np.testing.assert_allclose(shown, place, atol=0.012)


def test_pictures_are_read_only_where_asked_for(dataset: Path) -> None:
    assert footage.read(dataset, store.read_index(dataset)[0], pictures=False).mouths is None


def test_a_speaker_s_reach_is_a_wide_open_mouth(clips: list[footage.Footage]) -> None:
    reaches = footage.reaches(clips)
    assert set(reaches) == {"ann", "ben", "cid"}
    ann = np.concatenate([clip.shapes[:, 0] for clip in clips if clip.entry.speaker == "ann"])
    assert reaches["ann"] == np.quantile(ann, 0.95)
    still = [replace(clip, shapes=0.1 * clip.shapes) for clip in clips]
    assert footage.reaches(still)["ann"] == pytest.approx(0.7 * shipped_basis().deviation[0])


def test_speakers_are_drawn_by_the_power_of_their_length_and_as_favoured(
    clips: list[footage.Footage],
) -> None:
    """Ann has two clips, ben and cid one each of the same length."""
    by_speaker = footage.weights(clips, 0, {})
    np.testing.assert_allclose(by_speaker, [1 / 6, 1 / 6, 1 / 3, 1 / 3])
    np.testing.assert_allclose(footage.weights(clips, 1, {}), [0.25] * 4)
    np.testing.assert_allclose(footage.weights(clips, 1, {"ben": 3.0}), [1 / 6, 1 / 6, 1 / 2, 1 / 6])


def test_the_sharpest_picture_is_one() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (40, 40, 3), np.uint8)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 2)
    quality = footage.sharpness(np.stack([blurred, sharp]))
    assert quality[1] == 1
    assert quality[0] < 0.1
