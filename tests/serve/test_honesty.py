"""Proof that a result is what it says: outside the mask the source, the driving sound, another mouth."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import Client, align, audio
from lipserve.contracts import WAV2LIP_SIZE
from lipserve.files.picture import Picture, VideoInfo
from lipserve.lipwarp.geometry import soft_mask as mouth_mask
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.tiers import WAV2LIP
from lipserve.wav2lip import geometry
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate
from tests.support.lipwarp_stages import Stages

pytestmark = pytest.mark.serve

CLIPS = [
    "portrait",
    "video/LipNet__bbaf2n.mpg",
    pytest.param("video/video-retalking__2.mp4", marks=pytest.mark.whole),
    pytest.param("video/LivePortrait__s13.mp4", marks=pytest.mark.whole),
    "edge/hdr10_pq_demo1.mp4",
]
Find = Callable[[str], Path]
SECONDS = 1.0
SHORTER = {"edge/hdr10_pq_demo1.mp4": 0.4}
"""Seconds of a clip whose frames are much work: two million pixels each."""


@dataclass(frozen=True)
class Source:
    """A clip and its speech, what is known of it, its first pictures, and what `preprocess` makes of it."""

    video: bytes
    sound: bytes
    seconds: float
    info: VideoInfo
    pictures: list[Picture]
    rows: dict[str, Any]


@pytest.fixture(scope="module")
def leaves(exported: Path) -> OnnxLeaves:
    return OnnxLeaves(exported)


def spoken(speech: Path, seconds: float) -> bytes:
    """Return seconds from the middle of the demo's speech, at its own rate of 22,050 Hz."""
    samples = audio.load(speech, 22_050)[11_025:]
    return audio.wav(samples[: round(seconds * 22_050)], 22_050)


@pytest.fixture(scope="module", params=CLIPS)
def source(request: pytest.FixtureRequest, shared_data: Find, leaves: OnnxLeaves, speech: Path) -> Source:
    seconds = SHORTER.get(request.param, SECONDS)
    sound = spoken(speech, seconds)
    if request.param == "portrait":
        video = portrait.clip(seconds=SECONDS, size=(320, 320))
    else:
        video = shared_data(request.param).read_bytes()
    info = probe.probe(video)
    pictures = list(decode.read(video, info, 0, round(seconds * info.fps)))
    return Source(video, sound, seconds, info, pictures, Preprocess(WAV2LIP, leaves)(video, sound))


@pytest.fixture(scope="module")
def result(client: Client, source: Source) -> bytes:
    """What the server makes of the clip."""
    return bytes(client.dub(source.video, source.sound, tier=WAV2LIP.name).content)


def outside(
    frames: NDArray[np.int32],
    transforms: align.Transforms,
    index: int,
    shape: tuple[int, ...],
    step: int = 1,
    soft: NDArray[np.float32] = geometry.soft_mask(WAV2LIP_SIZE),  # noqa: B008 (never written to)
) -> NDArray[np.bool_]:
    """Return where [H, W] of a plane no face of frame `index` may have been pasted.

    The mask's own shape is traced, not the rectangle that the code works in: a sample is free where the
    mask is zero at it and at its neighbours in the crop. `step` 2 asks for the samples of a 4:2:0 plane.
    """
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    x, y = columns * step, rows * step + (0.5 if step == 2 else 0.0)
    mask = cv2.dilate((soft > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    kept = np.ones(shape, bool)
    for matrix in transforms[frames == index].astype(np.float64):
        u = np.rint(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]).astype(int)
        v = np.rint(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]).astype(int)
        inside = (u >= 0) & (u < len(soft)) & (v >= 0) & (v < len(soft))
        kept[inside] &= ~mask[v[inside], u[inside]]
    return kept


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    error = np.mean((a[where].astype(np.float64) - b[where]) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def encoded_alone(source: Source) -> list[Picture]:
    """Return the source's pictures after the same x264, with nothing pasted."""
    file, info = io.BytesIO(), source.info
    with VideoWriter(
        file, info.width, info.height, info.fps, info.colour, info.pixel_aspect, threads=1
    ) as writer:
        for picture in source.pictures:
            writer.write(picture)
    made = file.getvalue()
    return list(decode.read(made, probe.probe(made)))


def test_outside_the_mask_the_encoder_gets_the_source_to_the_bit(
    exported: Path, leaves: OnnxLeaves, source: Source, handed: list[Picture]
) -> None:
    before = source.rows
    faces = Wav2LipGenerate(exported, leaves)(
        before["FACES"], before["SPEECH"], before["FRAMES"], before["GENERATE_OPTIONS"]
    )["FACES"]
    rows = (before["TRANSFORMS"], before["WEIGHTS"], before["FRAMES"], before["CONTEXT"])
    Postprocess(exported, leaves)(source.video, source.sound, faces, *rows)
    assert len(handed) == len(source.pictures) == round(source.seconds * source.info.fps)
    changes = []
    for index, (new, old) in enumerate(zip(handed, source.pictures, strict=True)):
        rows_of = (before["FRAMES"], before["TRANSFORMS"], index)
        kept = outside(*rows_of, old.y.shape)
        assert 0.5 < kept.mean() < 1.0
        assert (new.y == old.y)[kept].all()
        chroma = outside(*rows_of, old.u.shape, step=2)
        assert (new.u == old.u)[chroma].all()
        assert (new.v == old.v)[chroma].all()
        changes.append(np.abs(new.y[~kept].astype(int) - old.y[~kept]).mean())
    assert np.median(changes) > 1  # and inside, the mouth is another one


def test_outside_a_moved_mouth_the_encoder_gets_the_source_to_the_bit(
    exported: Path, source: Source, handed: list[Picture]
) -> None:
    rows, _, _ = Stages(exported)(source.video, source.sound)
    assert len(handed) == len(source.pictures)
    changes = []
    for index, (new, old) in enumerate(zip(handed, source.pictures, strict=True)):
        rows_of = (rows["FRAMES"], rows["TRANSFORMS"], index)
        kept = outside(*rows_of, old.y.shape, soft=mouth_mask())
        assert 0.5 < kept.mean() < 1.0
        assert (new.y == old.y)[kept].all()
        chroma = outside(*rows_of, old.u.shape, step=2, soft=mouth_mask())
        assert (new.u == old.u)[chroma].all()
        assert (new.v == old.v)[chroma].all()
        changes.append(np.abs(new.y[~kept].astype(int) - old.y[~kept]).mean())
    assert np.median(changes) > 0.5  # and inside, the mouth is another one


def test_the_result_is_the_source_as_x264_alone_would_give_it(source: Source, result: bytes) -> None:
    info, made = source.info, probe.probe(result)
    assert made.frames == len(source.pictures)
    alone = encoded_alone(source)
    cost, ours = [], []
    for index, picture in enumerate(decode.read(result, made)):
        old = source.pictures[index].y
        kept = outside(source.rows["FRAMES"], source.rows["TRANSFORMS"], index, old.shape)
        ours.append(psnr(picture.y[: info.height, : info.width], old, kept))
        cost.append(psnr(alone[index].y[: info.height, : info.width], old, kept))
    assert np.median(ours) > np.median(cost) - 1.0
    assert np.percentile(ours, 5) > np.percentile(cost, 5) - 2.0


def test_the_sound_is_the_driving_speech(result: bytes, source: Source) -> None:
    rate = 22_050
    given, heard = audio.load(source.sound, rate), audio.load(result, rate)
    count = min(len(given), len(heard))
    spectrum = np.fft.rfft(given[:count], 2 * count).conj() * np.fft.rfft(heard[:count], 2 * count)
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    lag -= 2 * count if lag > count else 0
    assert abs(lag) / rate < 0.020
    assert np.corrcoef(given[:count], heard[:count])[0, 1] >= 0.98


def test_random_weights_are_confessed_and_trained_ones_are_not(
    exported: Path, leaves: OnnxLeaves, tmp_path: Path
) -> None:
    video = portrait.clip(seconds=0.2, size=(320, 320))
    sound = audio.wav(np.zeros(3200, np.float32))
    before = Preprocess(WAV2LIP, leaves)(video, sound)
    rows = [before[name] for name in ("FACES", "TRANSFORMS", "WEIGHTS", "FRAMES", "CONTEXT")]
    manifest = tmp_path / "wav2lip_generator" / "1" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"weights": "random weights, seed 1"}))
    warnings = {
        repository: json.loads(Postprocess(repository, leaves)(video, sound, *rows)["REPORT"])["warnings"]
        for repository in (exported, tmp_path)
    }
    assert any("the mouth is noise" in warning for warning in warnings[tmp_path])
    assert not any("noise" in warning for warning in warnings[exported])
