"""A generator that knows boxes, on a real Triton: crops are boxes, and boxes are what is pasted back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import Client, audio
from lipserve.files.picture import Picture
from lipserve.media import decode, probe
from lipserve.tiers import WAV2LIP, CropForm
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate
from lipserve_server.repository.manifest import read_crops
from tests.support.segments import shorten
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

SIDE, FRAMES = 320, 40


@pytest.fixture(scope="module")
def boxed_client(boxed_server: RunningServer) -> Iterator[Client]:
    with Client(boxed_server.url, timeout=120) as made:
        yield made


@pytest.fixture(scope="module")
def sound(speech: Path) -> bytes:
    return audio.wav(audio.load(speech)[8000:][: FRAMES * 640])


@pytest.fixture(scope="module")
def clip() -> bytes:
    return portrait.clip(FRAMES / 25, (SIDE, SIDE))


@pytest.fixture(scope="module")
def rows(boxed: Path, clip: bytes, sound: bytes) -> dict[str, Any]:
    """What the first stage finds in the clip."""
    return Preprocess(WAV2LIP, OnnxLeaves(boxed), crops=read_crops(boxed, WAV2LIP))(clip, sound)


def boxes(rows: dict[str, Any]) -> NDArray[np.float64]:
    """Return the boxes x1, y1, x2, y2 of the rows [F, 4]: where the crops' corners lie."""
    matrices = rows["TRANSFORMS"].astype(np.float64)
    assert (matrices[:, [0, 1], [1, 0]] == 0).all()  # never turned
    gain = matrices[:, [0, 1], [0, 1]]
    low = 0.5 - (matrices[:, :, 2] + 0.5) / gain
    return np.concatenate([low, low + 96 / gain], 1)


def outside(box: NDArray[np.float64], shape: tuple[int, ...], step: int = 1) -> NDArray[np.bool_]:
    """Return which samples [H, W] of a plane lie outside a box; `step` 2: of a 4:2:0 plane."""
    v, u = np.mgrid[: shape[0], : shape[1]] * step + (0.5 if step == 2 else 0.0)
    x1, y1, x2, y2 = box - 0.5
    return np.asarray((u < x1) | (u > x2) | (v < y1) | (v > y2))


def luma(video: bytes) -> NDArray[np.float64]:
    return np.stack([picture.y for picture in decode.read(video, probe.probe(video))]).astype(np.float64)


def test_the_crops_are_the_boxes_of_the_face(boxed: Path, rows: dict[str, Any]) -> None:
    """Upright, higher than wide, and steady."""
    assert read_crops(boxed, WAV2LIP) == CropForm(framing="box")
    found = boxes(rows)
    assert len(found) == FRAMES
    sides = found[:, 2:] - found[:, :2]
    aspect = sides[:, 1] / sides[:, 0]
    assert aspect.min() > 1.15
    assert aspect.max() < 1.7
    assert np.abs(np.diff(found, axis=0)).max() < 3


def test_outside_the_box_the_encoder_gets_the_source_to_the_bit(
    boxed: Path, rows: dict[str, Any], clip: bytes, sound: bytes, handed: list[Picture]
) -> None:
    faces = Wav2LipGenerate(boxed, OnnxLeaves(boxed))(
        rows["FACES"], rows["SPEECH"], rows["FRAMES"], rows["GENERATE_OPTIONS"]
    )["FACES"]
    places = (rows["TRANSFORMS"], rows["WEIGHTS"], rows["FRAMES"], rows["CONTEXT"])
    Postprocess(boxed, OnnxLeaves(boxed))(clip, sound, faces, *places)
    source = list(decode.read(clip, probe.probe(clip)))
    assert len(handed) == len(source) == FRAMES
    for made, true, box in zip(handed, source, boxes(rows), strict=True):
        for plane, own, step in ((made.y, true.y, 1), (made.u, true.u, 2), (made.v, true.v, 2)):
            free = outside(box, plane.shape, step)
            np.testing.assert_array_equal(plane[free], own[free])
            assert (plane != own)[~free].mean() > 0.5  # noise, all over the box
        inner = outside(box + np.array([8, 8, -8, -8]), made.y.shape)
        assert np.abs(made.y.astype(int) - true.y)[~inner].mean() > 15


def test_through_triton_the_box_speaks_and_the_rest_is_the_source(
    boxed_client: Client, rows: dict[str, Any], clip: bytes, sound: bytes
) -> None:
    result = boxed_client.dub(clip, sound, tier=WAV2LIP.name, crf=12)
    assert result.report.frames == FRAMES
    assert result.report.faceless_frames == 0
    assert result.report.weights.startswith("random weights, seed 1247; wav2lip_generator sha256 ")
    difference = np.abs(luma(result.content) - luma(clip)[:FRAMES])
    for frame, box in zip(difference, boxes(rows), strict=True):
        x1, y1, x2, y2 = box
        mouth = frame[int(y1 + 0.6 * (y2 - y1)) : int(y2 - 12), int(0.7 * x1 + 0.3 * x2) : int(x2 - 15)]
        assert mouth.mean() > 15
        forehead = frame[int(y1 + 10) : int(y1 + 0.2 * (y2 - y1)), int(x1 + 15) : int(x2 - 15)]
        assert forehead.mean() > 8  # the whole rectangle is the generator's
        far = outside(box + np.array([-16, -16, 16, 16]), frame.shape)  # beyond x264's blocks
        assert frame[far].mean() < 1.0


def test_segments_equal_the_whole(
    boxed_client: Client, clip: bytes, sound: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = boxed_client.dub(clip, sound, tier=WAV2LIP.name, crf=12)
    shorten(monkeypatch, WAV2LIP, seconds=0.7)
    parts = boxed_client.dub(clip, sound, tier=WAV2LIP.name, crf=12)
    assert parts.report.segments > whole.report.segments == 1
    error = ((luma(parts.content) - luma(whole.content)) ** 2).mean((1, 2))
    print(f"worst frame {10 * np.log10(255**2 / error.max()):.1f} dB")
    assert 10 * np.log10(255**2 / error.max()) > 38  # every segment is encoded by itself


def test_every_model_answers_and_a_users_crops_are_taken(boxed_client: Client) -> None:
    (health,) = boxed_client.health(deep=True)
    assert health.ready
    assert [model for model in health.models if model.error] == []
    faces = np.random.default_rng(1).integers(0, 256, (3, 96, 96, 3), np.uint8)
    made = boxed_client.generate(faces, np.zeros(1920, np.float32), tier=WAV2LIP.name)
    assert made.shape == faces.shape
    assert (made != faces).mean() > 0.9
