from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipserve import align, audio
from lipserve.errors import InputError
from lipserve.media import decode, probe
from lipserve.quality import lips
from lipserve_training.data import prepare, track
from lipserve_training.data.videos import Video
from lipserve_training.evaluate import clips
from lipserve_training.evaluate.clips import split_of
from lipserve_training.evaluate.leaves import Leaves
from lipserve_training.evaluate.scene import meshes
from lipserve_training.train.recipe import Data

SharedData = Callable[[str], Path]
DATA = Data(hold_out=("s3",), unheard=("s1/bbal7s.mpg",))


@pytest.fixture(scope="module")
def leaves(exported: Path) -> Leaves:
    return Leaves(exported, ["wav2lip"])


@pytest.fixture
def rules(exported: Path) -> prepare.Settings:
    return prepare.Settings(exported, "estimate", 0.2)


@pytest.mark.parametrize(
    ("name", "speaker", "expected"),
    [
        ("anything.mpg", "s3", "heldout"),
        ("s1/bbal7s.mpg", "s1", "seen"),
        ("bbal7s.mpg", "s1", "seen"),  # given as a file
        ("s1/bbaz7a.mpg", "s1", "trained"),
        ("AOC.mp4", "AOC", "heldout"),
    ],
)
def test_a_clip_is_held_out_by_its_speaker_or_its_dataset(name: str, speaker: str, expected: str) -> None:
    assert split_of(Video(Path(name), name, speaker), DATA, {"s1", "s33"}) == expected


def test_a_real_clip_is_cut_around_the_face_and_its_crops_are_the_servers(
    shared_data: SharedData, leaves: Leaves, rules: prepare.Settings
) -> None:
    path = shared_data("video/LipNet__sbia1a.mpg")
    clip = clips.read(Video(path, path.name, "s3"), "heldout", leaves, rules)
    assert (len(clip), clip.first, clip.offset, clip.in_sync) == (75, 0, 0, True)
    assert len(clip.samples) == 75 * 640
    assert clip.pictures[0].y.size < 360 * 288
    np.testing.assert_allclose(clip.samples[:16000], audio.load(str(path))[:16000])
    # The same crop, cut from the whole picture.
    info = probe.probe(str(path))
    face, _ = track.follow(path, info, leaves)
    assert face is not None
    exact = align.estimate(np.array(face.landmarks, np.float32))
    whole = align.scale(align.smooth(exact, np.zeros(75, np.int64)), 96, info.pixel_aspect)
    picture = next(iter(decode.read(str(path), info, 30, 1)))
    own = align.crop(clip.pictures[30], clip.placed(96)[30], 96)
    assert np.abs(align.crop(picture, whole[30], 96).astype(int) - own).max() <= 2
    # The lips seen through the track's own squares are those of the track.
    seen = lips.measure(meshes(leaves, clip, clip.pictures, np.arange(75)))
    tracked = lips.measure(np.array(face.landmarks))
    assert lips.correlation(seen[:, 0], tracked[:, 0]) > 0.98


def test_of_a_long_scene_the_beginning_is_taken(
    shared_data: SharedData, leaves: Leaves, rules: prepare.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips, "LONGEST", 50)
    path = shared_data("video/LipNet__sbia1a.mpg")
    clip = clips.read(Video(path, path.name, "s3"), "heldout", leaves, rules)
    assert (len(clip), len(clip.samples), len(clip.landmarks)) == (50, 50 * 640, 50)
    assert clip.landmarks.shape[1:] == (468, 2)


def test_a_video_without_sound_or_face_says_why(
    shared_data: SharedData, leaves: Leaves, rules: prepare.Settings
) -> None:
    for name, reason in [
        ("edge/noaudio_vr2.mp4", "no sound"),
        ("edge/short5f_vr2.mp4", "no face that can be followed for 40 frames"),
    ]:
        video = Video(shared_data(name), name, "x")
        with pytest.raises(InputError, match=reason):
            clips.read(video, "heldout", leaves, rules)


def test_for_its_colours_a_clip_may_be_short_and_silent(shared_data: SharedData, leaves: Leaves) -> None:
    for name, frames in [("faults/bw.mp4", 25), ("edge/short5f_vr2.mp4", 5)]:
        path = shared_data(name)
        clip = clips.read_silent(Video(path, name, "x"), leaves)
        assert (len(clip), len(clip.samples), clip.in_sync) == (frames, 0, False)
    with pytest.raises(InputError, match="no face that can be followed"):
        clips.read_silent(Video(shared_data("video/sample-videos__bottle-detection.mp4"), "b", "x"), leaves)
