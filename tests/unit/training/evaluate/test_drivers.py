"""What is judged is what is served: the same pictures, to the bit, as the server's stages give."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lipserve import align, audio
from lipserve.files.picture import Picture
from lipserve.lipwarp import geometry as mouth
from lipserve.lipwarp.render import Mouths
from lipserve.media import decode, probe
from lipserve.tiers import TIERS
from lipserve.wav2lip import geometry
from lipserve_server.inside.stages.lipwarp_generate import LipwarpGenerate
from lipserve_server.inside.stages.lipwarp_postprocess import LipwarpPostprocess
from lipserve_server.inside.stages.lipwarp_prepare import LipwarpPrepare
from lipserve_server.inside.stages.lipwarp_preprocess import LipwarpPreprocess
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate
from lipserve_training.data import prepare
from lipserve_training.data.videos import Video
from lipserve_training.evaluate import clips
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.drivers import LipwarpDriver, Wav2LipDriver
from lipserve_training.evaluate.leaves import Leaves
from lipserve_training.evaluate.reenact import Driven, Driver

FRAMES = 20
OPTIONS = b'{"crf": 0, "preset": "ultrafast"}'


@pytest.fixture(scope="module")
def leaves(exported: Path) -> Leaves:
    return Leaves(exported, ["wav2lip", "lipwarp"])


@pytest.fixture(scope="module")
def talking(shared_data: Callable[[str], Path], leaves: Leaves, exported: Path) -> Clip:
    """A sentence's middle, with the speech there."""
    path = shared_data("video/LipNet__lbbc2a.mpg")
    rules = prepare.Settings(exported, "trust", -1.0)
    whole = clips.read(Video(path, path.name, "s22"), "heldout", leaves, rules)
    middle = slice(25, 25 + FRAMES)
    return dataclasses.replace(
        whole,
        pictures=whole.pictures[middle],
        transforms=whole.transforms[middle],
        landmarks=whole.landmarks[middle],
        samples=whole.samples[25 * 640 : (25 + FRAMES) * 640],
    )


def test_frames_without_a_face_are_not_touched(clip: Clip, leaves: Leaves) -> None:
    driven = Driven.of(clip)
    for driver in (Wav2LipDriver(leaves, 0.0), LipwarpDriver(leaves)):
        shown = list(driver.look(driven)(clip.samples))
        assert len(shown) == len(clip)
        for made, source in zip(shown, driven.pictures, strict=True):
            assert made is not source
            np.testing.assert_array_equal(made.y, source.y)


def _lipwarp(leaves: Leaves, repository: Path, video: bytes, speech: bytes) -> bytes:
    source = LipwarpPrepare(leaves)([video])["SOURCE"]
    first = LipwarpPreprocess(Preprocess(TIERS["lipwarp"], leaves))(video, speech, OPTIONS, source)
    mouths = Mouths(*(first[name] for name in ("FACES", "POINTS", "SHAPES", "POSES")))
    motion = LipwarpGenerate(leaves)(
        mouths, first["SPEECH"], first["FRAMES"], first["TRACKS"], first["PREPARED"],
        first["GENERATE_OPTIONS"],
    )  # fmt: skip
    motion["TRACKS"] = first["TRACKS"]
    last = LipwarpPostprocess(repository, leaves)(
        video, speech, motion, first["TRANSFORMS"], first["WEIGHTS"], first["FRAMES"], first["PREPARED"],
        first["CONTEXT"],
    )  # fmt: skip
    return last["RESULT"]


def _wav2lip(leaves: Leaves, repository: Path, video: bytes, speech: bytes) -> bytes:
    first = Preprocess(TIERS["wav2lip"], leaves)(video, speech, OPTIONS)
    made = Wav2LipGenerate(repository, leaves)(
        first["FACES"], first["SPEECH"], first["FRAMES"], first["GENERATE_OPTIONS"]
    )
    last = Postprocess(repository, leaves)(
        video, speech, made["FACES"], first["TRANSFORMS"], first["WEIGHTS"], first["FRAMES"], first["CONTEXT"]
    )
    return last["RESULT"]


@pytest.mark.parametrize(
    ("driver", "serve"),
    [
        (lambda leaves: Wav2LipDriver(leaves, leaves.mel_offset_ms), _wav2lip),
        (LipwarpDriver, _lipwarp),
    ],
    ids=["wav2lip", "lipwarp"],
)
def test_the_pictures_are_those_that_the_server_gives(
    driver: Callable[[Leaves], Driver],
    serve: Callable[[Leaves, Path, bytes, bytes], bytes],
    talking: Clip,
    leaves: Leaves,
    exported: Path,
) -> None:
    driven = Driven.of(talking)
    made = list(driver(leaves).look(driven)(talking.samples))
    served = serve(leaves, exported, driven.video, audio.wav(talking.samples))
    changed = 0
    for ours, theirs, source in zip(made, _decoded(served), driven.pictures, strict=True):
        for a, b in zip(_planes(ours), _planes(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
        changed += int((ours.y != source.y).sum())
    assert changed > 1000 * FRAMES


def test_a_short_speech_gives_as_many_pictures(talking: Clip, leaves: Leaves) -> None:
    driven = Driven.of(talking)
    for driver in (Wav2LipDriver(leaves, leaves.mel_offset_ms), LipwarpDriver(leaves)):
        assert len(list(driver.look(driven)(np.zeros(5 * 640, np.float32)))) == 5


@pytest.mark.parametrize("side", [96, 150, 512])
def test_masks_lie_in_the_face_crop_where_the_tiers_paste(leaves: Leaves, side: int) -> None:
    pasted = Wav2LipDriver(leaves, 0.0).mask(side)
    np.testing.assert_array_equal(pasted, geometry.soft_mask(side))
    moved = LipwarpDriver(leaves).mask(side)
    place = (np.arange(side) + 0.5) / side
    # The formula of `lipwarp.geometry.soft_mask` in face-crop coordinates: an oval around (0.5, 0.70).
    x, y = np.meshgrid(np.abs(place - 0.5) / 0.345, (place - 0.70) / 0.29)
    ramp = np.clip((1 - (np.abs(x) ** 2.5 + np.abs(y) ** 2.5) ** 0.4) / 0.30, 0, 1)
    np.testing.assert_allclose(moved, ramp * ramp * (3 - 2 * ramp), atol=0.02)
    assert mouth.CENTRE == (0.5, 0.69)


def test_a_box_is_pasted_as_a_whole_and_its_border_is_where_it_lies(talking: Clip, leaves: Leaves) -> None:
    driver = Wav2LipDriver(leaves, leaves.mel_offset_ms, "box")
    driven = Driven.of(talking)
    made = list(driver.look(driven)(talking.samples))
    side = 150
    border = driver.border(talking, side)
    np.testing.assert_array_equal(driver.mask(side), geometry.soft_mask(side))  # where the mouth is made
    assert border[75, 75] == 1
    assert (border > 0).mean() > 0.5 > 1.5 * (geometry.soft_mask(side) > 0).mean()
    frame = int(np.flatnonzero(driven.order == FRAMES // 2)[0])
    place = talking.placed(side)[FRAMES // 2]
    before, after = (align.crop(shown, place, side) for shown in (driven.pictures[frame], made[frame]))
    changed = np.abs(after.astype(int) - before).max(-1) > 2
    assert changed[border > 0.5].mean() > 0.3
    assert changed[border == 0].mean() < 0.02  # the box of one frame, beside the mean of five


def _decoded(video: bytes) -> Iterator[Picture]:
    return decode.read(video, probe.probe(video))


def _planes(picture: Picture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return picture.y, picture.u, picture.v
