from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lipserve_training.evaluate import lse
from lipserve_training.evaluate.clips import Clip
from lipserve_training.mfcc import mfcc
from lipserve_training.models import syncnet


def vectors(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 1024, generator=torch.Generator().manual_seed(seed))


def test_the_distances_are_those_of_the_protocol() -> None:
    heard, seen = vectors(9), vectors(9, 1)
    table = syncnet.distances(heard, seen, 15)
    assert table.shape == (31, 9)
    for k, t in [(0, 0), (15, 4), (12, 5), (30, 8), (18, 2)]:
        at = t + k - 15
        other = heard[at] if 0 <= at < 9 else torch.zeros(1024)
        expected = (seen[t] - other + 1e-6).norm()
        assert float(table[k, t]) == pytest.approx(float(expected), rel=1e-5)


def test_lips_that_come_three_frames_late_have_offset_three() -> None:
    heard = vectors(60)
    seen = torch.cat([vectors(3, 7), heard[:-3]])
    score = lse.verdict(syncnet.distances(heard, seen, lse.REACH))
    assert score.offset == 3
    means = syncnet.distances(heard, seen, lse.REACH).mean(1)
    assert score.lse_d == pytest.approx(float(means[12]))
    assert score.lse_c == pytest.approx(float(means.sort().values[15] - means[12]))


def test_a_score_is_that_of_features_taken_frame_by_frame() -> None:
    torch.manual_seed(2)
    network = syncnet.SyncNet().eval()
    rng = np.random.default_rng(1)
    crops = rng.integers(0, 256, (8, 224, 224, 3), dtype=np.uint8)
    samples = rng.normal(0, 0.1, 7 * 640 + 99).astype(np.float32)  # the sound ends first: n = 7
    cepstra = mfcc(samples)
    seen, heard = [], []
    with torch.inference_mode():
        for t in range(2):  # 0 .. n - 6
            pictures = np.stack([crops[t + i].transpose(2, 0, 1) for i in range(5)], 1)
            seen.append(network.look(torch.from_numpy(pictures[None].astype(np.float32))))
            steps = cepstra[4 * t : 4 * t + 20].T
            heard.append(network.hear(torch.from_numpy(steps[None, None].astype(np.float32))))
    expected = lse.verdict(syncnet.distances(torch.cat(heard), torch.cat(seen), 15))
    found = lse.score(network, crops, samples)
    assert found.lse_d == pytest.approx(expected.lse_d, rel=1e-4)
    assert found.lse_c == pytest.approx(expected.lse_c, abs=1e-4)
    assert found.offset == expected.offset


def test_five_frames_are_too_few() -> None:
    crops = np.zeros((5, 224, 224, 3), np.uint8)
    with pytest.raises(ValueError, match="more than 5 frames"):
        lse.score(syncnet.SyncNet(), crops, np.zeros(9 * 640, np.float32))


def test_the_crop_is_that_of_run_pipeline() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[:, :, 0] = np.arange(300)[None] % 256
    image[:, :, 1] = np.arange(200)[:, None]
    crop = lse.face_crop(image, 50.0, 150.0, 90.0)  # 140 by 140 pixels: x 80 to 220, y 40 to 180
    assert crop.shape == (224, 224, 3)
    assert crop[112, 0, 0] == pytest.approx(80, abs=1)
    assert crop[112, -1, 0] == pytest.approx(219, abs=1)
    assert crop[0, 112, 1] == pytest.approx(40, abs=1)
    assert crop[-1, 112, 1] == pytest.approx(179, abs=1)


def test_beyond_the_picture_the_crop_is_grey() -> None:
    crop = lse.face_crop(np.zeros((100, 100, 3), np.uint8), 40.0, 90.0, 50.0)
    assert (crop[100, -20:] == 110).all()
    assert (crop[100, 40] == 0).all()


def test_a_clip_gives_a_crop_for_every_frame(clip: Clip) -> None:
    crops = list(lse.face_crops(clip, clip.pictures, np.arange(len(clip))))
    assert len(crops) == len(clip)
    assert all(crop.shape == (224, 224, 3) for crop in crops)
    order = np.roll(np.arange(len(clip)), 5)
    turned = list(lse.face_crops(clip, [clip.pictures[frame] for frame in order], order))
    inner = slice(60, -60)  # of a painted face, which moves with its landmarks
    assert np.abs(turned[0][inner, inner].astype(int) - crops[0][inner, inner]).mean() < 4
