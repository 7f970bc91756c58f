from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lipserve import audio
from lipserve.wav2lip.windows import mel_windows
from lipserve_export import runtime
from lipserve_export.checkpoints import load_generator
from lipserve_export.generator import random_generator, wav2lip_generator
from lipserve_export.models.wav2lip import VARIANTS
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.generate import Generator, pasted


def test_with_its_own_face_as_reference_it_is_the_served_graph(checkpoint: Path, clip: Clip) -> None:
    generator = Generator(checkpoint)
    faces = clip.faces()
    windows = generator.windows(clip.samples, len(clip))
    served = runtime.session(wav2lip_generator(load_generator(checkpoint)[0]))
    expected = runtime.run(served, {"MEL": windows, "FACES": faces})["GENERATED"]
    np.testing.assert_array_equal(generator(windows, faces, faces), expected)


def test_the_lower_half_of_the_shown_face_is_not_looked_at(checkpoint: Path, clip: Clip) -> None:
    generator = Generator(checkpoint)
    faces = clip.faces()
    windows = generator.windows(clip.samples, len(clip))
    other = faces.copy()
    other[:, 48:] = 255 - other[:, 48:]
    references = 255 - faces
    np.testing.assert_array_equal(
        generator(windows, faces, references), generator(windows, other, references)
    )
    assert (generator(windows, faces, references) != generator(windows, faces, faces)).any()


def test_it_hears_with_the_offset_that_it_was_trained_with(checkpoint: Path, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    mel = audio.mel_wav2lip(samples)
    early = Generator(checkpoint)  # -40 ms: 3.2 columns at 80 a second
    assert early.mel_offset_ms == -40
    np.testing.assert_array_equal(early.windows(samples, 3), mel_windows(mel, np.array([-3, 0, 3])))
    path = tmp_path / "public.pth"
    torch.save(random_generator(VARIANTS["compressed"], 5).state_dict(), path)
    plain = Generator(path)
    np.testing.assert_array_equal(plain.windows(samples, 3), mel_windows(mel, np.array([0, 3, 6])))


def test_a_public_checkpoint_is_judged_on_boxes(checkpoint: Path, clip: Clip, tmp_path: Path) -> None:
    """The mesh reaches from 50 to 150 and from 60 to 180; the box follows two frames ahead."""
    path = tmp_path / "public.pth"
    torch.save(random_generator(VARIANTS["compressed"], 5).state_dict(), path)
    assert (Generator(checkpoint).framing, Generator(path).framing) == ("similarity", "box")
    placed = clip.framed("box")
    gain = placed[:, [0, 1], [0, 1]]
    low = 0.5 - (placed[:, :, 2] + 0.5) / gain
    high = low + 96 / gain
    mesh = clip.landmarks[0]
    np.testing.assert_allclose(
        (low[0, 0], high[0, 0]), (mesh[:, 0].min() + 2, mesh[:, 0].max() + 2), atol=0.01
    )
    np.testing.assert_allclose(high[:, 1], mesh[:, 1].max() + 10, atol=0.01)
    picture = next(pasted(clip, 255 - clip.faces("box"), range(len(clip)), "box"))
    changed = np.argwhere(picture.y != clip.pictures[0].y)[:, ::-1]
    assert (changed >= low[0] - 0.5).all()
    assert (changed <= high[0] - 0.5).all()
    np.testing.assert_allclose((changed.min(0), changed.max(0)), (low[0], high[0]), atol=6)


def test_silence_is_what_it_hears_of_zeros(checkpoint: Path) -> None:
    assert (Generator(checkpoint).windows(np.zeros(6400, np.float32), 10) == -4).all()


def test_pasting_writes_into_copies_and_near_the_mouth_only(clip: Clip) -> None:
    before = [picture.y.copy() for picture in clip.pictures]
    faces = np.zeros((len(clip), 96, 96, 3), np.uint8)
    after = list(pasted(clip, faces, range(len(clip))))
    for source, kept, made in zip(clip.pictures, before, after, strict=True):
        np.testing.assert_array_equal(source.y, kept)
        changed = np.argwhere(made.y != kept)
        assert 2000 < len(changed) < 9000
        assert changed[:, 0].min() > 60 + 0.42 * 120  # the mask begins below the eyes of the crop


@pytest.mark.parametrize("frames", [[3, 2, 1], [0, 0]])
def test_any_frames_can_be_pasted_into(clip: Clip, frames: list[int]) -> None:
    faces = clip.faces()[frames]
    shown = list(pasted(clip, faces, frames))
    for picture, frame in zip(shown, frames, strict=True):
        difference = picture.y.astype(int) - clip.pictures[frame].y
        assert np.abs(difference).mean() < 1.5  # its own face at 96 pixels
