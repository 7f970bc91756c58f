"""A clip in segments equals the clip in one piece, up to the joints."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import Client, audio
from lipserve.contracts import WAV2LIP_SIZE, Framing
from lipserve.errors import NoFaceError
from lipserve.files.picture import Colour, MediaSource
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.options import Options
from lipserve.tiers import LIPWARP, WAV2LIP, CropForm, Tier
from lipserve_client._clip import Clip
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate
from tests.support.segments import shorten
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

SECONDS, SEGMENT = 6.0, 1.5


@pytest.fixture(scope="module")
def faces(exported: Path) -> Callable[..., dict[str, Any]]:
    """Return what gives the crops of a request, before and after the generator."""
    leaves = OnnxLeaves(exported)

    def run(crops: CropForm, video: bytes, sound: bytes, options: bytes | None) -> dict[str, Any]:
        rows = Preprocess(WAV2LIP, leaves, crops=crops)(video, sound, options)
        made = Wav2LipGenerate(exported, leaves)(
            rows["FACES"], rows["SPEECH"], rows["FRAMES"], rows["GENERATE_OPTIONS"]
        )
        return {**rows, "GENERATED": made["FACES"]}

    return run


def _psnr(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "framing"),
    [
        ("portrait", "similarity"),
        pytest.param("video/LivePortrait__d10.mp4", "similarity", marks=pytest.mark.whole),
        ("video/video-retalking__1.mp4", "box"),
        pytest.param("video/video-retalking__1.mp4", "similarity", marks=pytest.mark.whole),
    ],
)
def test_a_segmented_clip_equals_the_whole(
    faces: Callable[..., dict[str, Any]],
    shared_data: Callable[[str], Path],
    speech: Path,
    name: str,
    framing: Framing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video: MediaSource = portrait.clip(1.5, (256, 256)) if name == "portrait" else shared_data(name)
    content = video if isinstance(video, bytes) else Path(video).read_bytes()  # type: ignore[arg-type]
    sound = audio.wav(np.resize(audio.load(speech), round(SECONDS * 16000)))
    crops = CropForm(framing=framing)
    whole = faces(crops, content, sound, None)
    shorten(monkeypatch, WAV2LIP, seconds=SEGMENT)
    clip = Clip(video, sound, Options(), "wav2lip")
    assert len(clip.spans) == 4
    parts = []
    for index in range(len(clip.spans)):
        call = clip.request(index)
        parts.append(faces(crops, *(bytes(call.inputs[n]) for n in ("VIDEO", "AUDIO", "OPTIONS"))))
    frames = np.concatenate([part["FRAMES"] for part in parts])
    np.testing.assert_array_equal(frames, whole["FRAMES"])
    for tensor in ("FACES", "GENERATED"):
        joined = np.concatenate([part[tensor] for part in parts]).astype(np.float64)
        error = ((joined - whole[tensor]) ** 2).reshape(len(frames), -1).mean(1)
        print(f"{name} {tensor}: {_psnr(error.mean()):.1f} dB, worst {_psnr(error.max()):.1f} dB")
        assert _psnr(error.mean()) >= 45
        assert _psnr(np.percentile(error, 99)) >= 42
    assert whole["FACES"].shape[1:] == (WAV2LIP_SIZE, WAV2LIP_SIZE, 3)


def _film(parts: list[list[NDArray[np.uint8]]]) -> bytes:
    file = io.BytesIO()
    with VideoWriter(file, 256, 256, portrait.FPS, Colour(), crf=14) as writer:
        for frame in (frame for part in parts for frame in part):
            writer.write(portrait.picture(frame))
    return file.getvalue()


@pytest.mark.parametrize("tier", [LIPWARP, WAV2LIP], ids=lambda tier: tier.name)
def test_segments_before_the_first_face_pass_through(
    client: Client, speech: Path, tier: Tier, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, tier, seconds=0.5)
    wall = [np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3))] * 30
    film = _film([wall, portrait.frames(1.0, (256, 256)), wall])
    sound, done = audio.wav(audio.load(speech)[: 3 * 16_000]), list[tuple[int, int]]()
    result = client.dub(film, sound, tier=tier.name, on_progress=lambda *step: done.append(step))
    assert result.report.segments > 4
    assert result.report.frames == 75  # 30 without a face, 25 with one, 20 without
    assert 48 <= result.report.faceless_frames <= 52
    assert done[-1] == (75, 75)
    made = list(decode.read(result.content, probe.probe(result.content)))
    source = list(decode.read(film, probe.probe(film), 0, 75))
    changed = [int(np.abs(a.y.astype(int) - b.y).max()) > 40 for a, b in zip(made, source, strict=True)]
    assert not any(changed[:30])
    assert sum(changed[30:55]) > 20


@pytest.mark.parametrize(
    ("tier", "last"), [(LIPWARP, "lipwarp_postprocess"), (WAV2LIP, "postprocess")], ids=["lipwarp", "wav2lip"]
)
def test_a_long_clip_without_a_face_is_refused_before_anything_is_encoded(
    server: RunningServer,
    client: Client,
    speech: Path,
    tier: Tier,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, tier, seconds=1.0)
    wall = [np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3))] * 150
    begun = server.page.values("lipserve_segments_started_total", stage=last)
    with pytest.raises(NoFaceError, match="passthrough"):
        client.dub(_film([wall]), speech, tier=tier.name)
    assert server.page.values("lipserve_segments_started_total", stage=last) == begun
