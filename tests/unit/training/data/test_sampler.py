from __future__ import annotations

import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from lipserve import audio
from lipserve.errors import SetupError
from lipserve.wav2lip.windows import mel_starts, mel_windows
from lipserve_training.data import augment, sampler, store
from lipserve_training.data.sampler import Footage, Sampler, another_moment

FRAMES = 5


def make(dataset: Path, strength: augment.Strength = augment.NONE, **more: float) -> Sampler:
    return Sampler(dataset, store.read_index(dataset), strength, **more)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_shapes_and_ranges_of_a_batch(dataset: Path) -> None:
    batch = make(dataset, augment.Strength()).batch(3, FRAMES, rng())
    shapes = {name: tuple(tensor.shape) for name, tensor in vars(batch).items()}
    assert shapes["mel"] == (3, FRAMES, 1, 80, 16)
    assert shapes["faces"] == (3, FRAMES, 6, 96, 96)
    assert shapes["target"] == (3, FRAMES, 3, 96, 96)
    assert shapes["other_mel"] == (3, 1, 80, 16)
    for tensor in vars(batch).values():
        assert tensor.dtype == torch.float32
        assert torch.isfinite(tensor).all()
    assert 0 <= batch.faces.min() <= batch.faces.max() <= 1


def test_the_same_seed_gives_the_same_batch(dataset: Path) -> None:
    one, same, other = (make(dataset, augment.Strength()).batch(2, FRAMES, rng(seed)) for seed in (1, 1, 2))
    for name, tensor in vars(one).items():
        assert torch.equal(tensor, vars(same)[name])
    assert not torch.equal(one.faces, other.faces)


def test_a_cache_that_is_too_small_changes_nothing(dataset: Path) -> None:
    held = make(dataset).batch(2, FRAMES, rng())
    read = make(dataset, cache_gib=0).batch(2, FRAMES, rng())
    assert torch.equal(held.faces, read.faces)


def test_the_lower_half_is_black_and_the_rest_is_the_target(dataset: Path) -> None:
    batch = make(dataset).batch(4, FRAMES, rng())
    assert batch.faces[:, :, :3, 48:].abs().max() == 0
    assert torch.equal(batch.faces[:, :, :3, :48], batch.target[:, :, :, :48])
    assert batch.faces[:, :, 3:, 48:].max() > 0.5
    assert torch.equal(batch.faces[:, 0, 3:], batch.faces[:, -1, 3:])


def test_the_mask_begins_within_the_rows_that_are_asked_for(dataset: Path) -> None:
    jitter = augment.Strength(**{**vars(augment.NONE), "mask": 2})
    batch = make(dataset, jitter).batch(60, 1, rng())
    rows = [int((face[:3].amax((0, 2)) > 0).sum()) for face in batch.faces[:, 0]]
    assert set(rows) == {46, 47, 48, 49, 50}


def test_pictures_are_bgr_of_the_stored_crop(dataset: Path) -> None:
    entries = [entry for entry in store.read_index(dataset) if entry.speaker == "ben"]
    batch = Sampler(dataset, entries, augment.NONE).batch(1, entries[0].frames, rng())
    clip = store.read(dataset, entries[0].clip)
    for frame, target in enumerate(batch.target[0]):
        (cut,) = augment.Warp(augment.NONE, rng()).cut([clip.image(frame)])
        np.testing.assert_array_equal(target.permute(1, 2, 0).numpy()[..., ::-1], cut / np.float32(255))


@pytest.mark.parametrize("offset_ms", [0.0, sampler.TRAINING_OFFSET_MS, 25.0])
def test_a_frame_hears_the_window_of_wav2lips_rule(dataset: Path, offset_ms: float) -> None:
    (entry,) = (e for e in store.read_index(dataset) if e.speaker == "cid")
    windows = Footage(dataset, entry.clip, offset_ms, decoded=False).windows
    samples = store.read(dataset, entry.clip).samples
    mel = audio.mel_wav2lip(samples)
    starts = mel_starts(np.arange(entry.frames, dtype=np.int32), Fraction(25), offset_ms)
    np.testing.assert_array_equal(windows, mel_windows(mel, starts)[:, 0])
    columns = round(offset_ms * 80 / 1000)  # by hand: frame f at 80 f / 25 columns
    first = 3 * 80 // 25 + columns
    np.testing.assert_array_equal(windows[3], mel[:, first : first + 16])
    if offset_ms == sampler.TRAINING_OFFSET_MS:
        assert columns == -3


def speakers_drawn(dataset: Path, power: float, draws: int = 600) -> Counter[str]:
    """Who is drawn, told by the window that a batch hears."""
    heard = {}
    for entry in store.read_index(dataset):
        windows = Footage(dataset, entry.clip, sampler.TRAINING_OFFSET_MS, decoded=False).windows
        heard.update({window.tobytes(): entry.speaker for window in windows})
    batch = make(dataset, power=power).batch(draws, 1, rng(3))
    return Counter(heard[mel.numpy().tobytes()] for mel in batch.mel[:, 0, 0])


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_speakers_are_drawn_by_the_power_of_their_length(dataset: Path, power: float) -> None:
    """Ann has two clips, ben and cid one each of the same length."""
    drawn = speakers_drawn(dataset, power)
    weights = {"ann": 2.0**power, "ben": 1.0, "cid": 1.0}
    for speaker, weight in weights.items():
        share = weight / sum(weights.values())
        deviation = (share * (1 - share) / 600) ** 0.5
        assert abs(drawn[speaker] / 600 - share) < 4 * deviation


def test_a_speaker_s_clips_are_drawn_by_their_length(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "copy")
    entries = store.read_index(tmp_path / "copy")[:2]
    assert {entry.speaker for entry in entries} == {"ann"}
    whole = store.read(dataset, entries[1].clip)
    short = store.Clip(whole.images[:3], whole.samples[:1920], whole.lips[:3], whole.meshes[:3])
    store.write(tmp_path / "copy", entries[1].clip, short)
    entries[1] = entries[1].model_copy(update={"frames": 3})
    drawn = Sampler(tmp_path / "copy", entries, augment.NONE, power=0.3)
    assert drawn._weights == pytest.approx([12 / 15, 3 / 15])


def test_the_other_moment_is_elsewhere_wherever_it_can_be() -> None:
    random = rng()
    drawn = Counter(another_moment(12, 4, 5, random) for _ in range(2000))
    assert set(drawn) == {0, 1, 2, 3, 9, 10, 11}
    assert max(drawn.values()) < 1.3 * min(drawn.values())
    assert 0 <= another_moment(5, 0, 5, random) < 5


def test_the_frame_itself_is_a_reference_where_its_mouth_is_hidden(dataset: Path) -> None:
    always = augment.Strength(**{**vars(augment.NONE), "same": 1})
    batch = make(dataset, always).batch(4, FRAMES, rng())
    reference, target = batch.faces[:, :, 3:].numpy(), batch.target.numpy()
    np.testing.assert_array_equal(reference[..., :40, :], np.repeat(target[:, :1, :, :40], 5, 1))
    assert np.abs(reference[..., 60:84, 36:60] - target[:, :1, :, 60:84, 36:60]).mean() > 0.005
    for item in range(4):  # what the expert takes for another moment still is one
        assert all(not np.array_equal(batch.other_mel[item, 0], mel) for mel in batch.mel[item])


def test_no_clip_is_told(dataset: Path) -> None:
    with pytest.raises(SetupError, match="No clip is left"):
        Sampler(dataset, [], augment.NONE)
