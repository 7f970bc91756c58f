from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve.errors import SetupError
from lipserve_training.data import store
from lipserve_training.quantize.crops import draw

from .conftest import CLIPS, FRAMES, entry, write_clip


def test_no_clip_calibrates_and_judges(dataset: Path) -> None:
    calibrating, judging = draw(dataset, 24, 0, seed=5)
    assert not set(calibrating.clips) & set(judging.clips)
    assert set(calibrating.clips) | set(judging.clips) == set(CLIPS)
    assert calibrating.mel.shape == judging.mel.shape == (24, 1, 80, 16)
    assert calibrating.faces.shape == (24, 96, 96, 3)
    assert (calibrating.mel.dtype, calibrating.faces.dtype) == (np.float32, np.uint8)
    assert calibrating.mel.min() >= -4
    assert calibrating.mel.max() <= 4
    assert [len(batch["MEL"]) for batch in calibrating.batches()] == [16, 8]


def test_a_seed_gives_the_same_crops_and_another_seed_others(dataset: Path) -> None:
    first, again, other = (draw(dataset, 8, 0, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.faces, again.faces)
    np.testing.assert_array_equal(first.mel, again.mel)
    assert (first.faces != other.faces).any()


def test_speakers_take_turns(dataset: Path) -> None:
    for seed in range(5):
        halves = draw(dataset, 2, 0, seed)
        speakers = {CLIPS[clip] for half in halves for clip in half.clips[:2]}
        assert speakers == {"a", "b", "c"}  # four of six clips are a's


def test_a_crop_is_the_middle_of_the_stored_one_and_hears_its_own_frame(dataset: Path) -> None:
    whole = draw(dataset, 3 * FRAMES, 0, seed=1)[0]  # every frame of three clips, in order
    first = store.read(dataset, next(c for c in CLIPS if (_first(dataset, c) == whole.faces[0]).all()))
    cut = first.image(0)[32:224, 32:224]
    smaller = cv2.resize(cut, (96, 96), interpolation=cv2.INTER_LINEAR).astype(int)
    assert np.abs(smaller - whole.faces[0]).max() <= 2
    np.testing.assert_array_equal(whole.mel[0, 0, :, 4], whole.mel[1, 0, :, 4 - 3])  # 3.2 columns a frame
    earlier = draw(dataset, 3 * FRAMES, -37.5, seed=1)[0]
    np.testing.assert_array_equal(earlier.mel[0, 0, :, 3:], whole.mel[0, 0, :, :-3])


def _first(dataset: Path, clip: str) -> np.ndarray:
    from lipserve_training.data import augment

    image = store.read(dataset, clip).image(0)
    return augment.Warp(augment.NONE, np.random.default_rng(0)).cut([image])[0]


def test_fewer_frames_than_asked_for_are_all_taken(dataset: Path) -> None:
    calibrating, judging = draw(dataset, 1000, 0, seed=1)
    assert len(calibrating) == len(judging) == 3 * FRAMES


def test_a_dataset_that_cannot_be_split_or_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is not a dataset"):
        draw(tmp_path, 4, 0, 1)
    store.write_index(tmp_path, [])
    with pytest.raises(SetupError, match="holds no clip"):
        draw(tmp_path, 4, 0, 1)
    write_clip(tmp_path, "a0")
    store.write_index(tmp_path, [entry("a0")])
    with pytest.raises(SetupError, match="one clip"):
        draw(tmp_path, 4, 0, 1)
    store.write_index(tmp_path, [entry("a0"), entry("b0")])
    with pytest.raises(SetupError, match=r"b0\.npz"):
        draw(tmp_path, 4, 0, 1)
    (tmp_path / "clips" / "b0.npz").write_bytes((tmp_path / "clips" / "a0.npz").read_bytes()[:3000])
    with pytest.raises(SetupError, match=r"b0\.npz is not a clip .* or is damaged"):
        draw(tmp_path, 4, 0, 1)
