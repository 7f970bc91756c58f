from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipserve import align, audio
from lipserve.errors import InputError
from lipserve.media import decode, probe
from lipserve_training import lips
from lipserve_training.data import track
from lipserve_training.data.videos import Video
from lipserve_training.evaluate import clips
from lipserve_training.evaluate.clips import split_of
from lipserve_training.evaluate.generate import lips_of, pasted
from lipserve_training.evaluate.motion import agreement
from lipserve_training.faces import FaceModels
from lipserve_training.train.recipe import Data

SharedData = Callable[[str], Path]
DATA = Data(hold_out=("s3",), unheard=("s1/bbal7s.mpg",))


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
def test_who_is_held_out(name: str, speaker: str, expected: str) -> None:
    assert split_of(Video(Path(name), name, speaker), DATA, {"s1", "s33"}) == expected


def test_a_real_clip_is_cut_around_the_face_and_its_crops_are_the_servers(
    shared_data: SharedData, exported: Path
) -> None:
    path = shared_data("video/LipNet__sbia1a.mpg")
    models = FaceModels(exported)
    video = Video(path, path.name, "s3")
    (clip,) = clips.read(video, "heldout", models, "trust")
    assert len(clip) == 75
    assert len(clip.samples) == 75 * 640
    assert clip.pictures[0].y.size < 360 * 288
    np.testing.assert_allclose(clip.samples[:16000], audio.load(str(path))[:16000])
    # The same crop, cut from the whole picture.
    info = probe.probe(str(path))
    face, _ = track.follow(path, info, models)
    assert face is not None
    exact = align.estimate(np.array(face.landmarks, np.float32))
    whole = align.scale(align.smooth(exact, np.zeros(75, np.int64)), 96, info.pixel_aspect)
    picture = next(iter(decode.read(str(path), info, 30, 1)))
    difference = align.crop(picture, whole[30], 96).astype(int) - clip.faces()[30]
    assert np.abs(difference).max() <= 2
    # The lips seen through the track's own squares are those of the track.
    seen = lips_of(models, clip, clip.pictures, range(75))
    tracked = lips.measure(np.array(face.landmarks))
    assert lips.correlation(seen[:, 0], tracked[:, 0]) > 0.98
    # A perfect generator of 96 pixels says the same as the true mouth.
    ideal = lips_of(models, clip, pasted(clip, clip.faces(), range(75)), range(75))
    follows = agreement(ideal, seen)
    assert follows.lag == 0
    assert follows.best > 0.97


def test_a_video_without_sound_or_face_says_why(shared_data: SharedData, exported: Path) -> None:
    models = FaceModels(exported)
    for name, reason in [
        ("edge/noaudio_vr2.mp4", "no sound"),
        ("edge/short5f_vr2.mp4", "no face that can be followed for 40 frames"),
    ]:
        video = Video(shared_data(name), name, "x")
        with pytest.raises(InputError, match=reason):
            list(clips.read(video, "heldout", models, "trust"))
