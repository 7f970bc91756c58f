"""What `smoke` says of results that are right, and of results with one fault each."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from lipserve import audio
from lipserve.files.picture import Picture, VideoInfo
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.report import Report
from lipserve_cli.main import main
from lipserve_client._samples import PORTRAIT, SPEECH
from lipserve_client._smoke import Judge
from tests.support.scripted_triton import Failing, StartTriton

Luma = NDArray[np.uint8]


@pytest.fixture(scope="module")
def speech() -> NDArray[np.float32]:
    return audio.load(SPEECH)[:38_400]


@pytest.fixture(scope="module")
def portrait() -> tuple[VideoInfo, Picture]:
    info = probe.probe(PORTRAIT)
    return info, next(iter(decode.read(PORTRAIT, info, 0, 1)))


def talk(luma: Luma, index: int) -> None:
    """Open and close a dark mouth."""
    luma[155 : 165 + index % 8, 115:150] = 40


def keep_still(luma: Luma, index: int) -> None:
    """Leave the frame as it is: the source passed through."""


def open_once(luma: Luma, index: int) -> None:
    """Show another mouth, the same on every frame."""
    luma[150:170, 110:155] = 40


def shift(luma: Luma, index: int) -> None:
    """Talk, and let the picture slip by two pixels in the end."""
    talk(luma, index)
    if index > 50:
        luma[:] = np.roll(luma, 2, axis=1)


def stamp(luma: Luma, index: int) -> None:
    """Talk, and write one small block into a corner of one frame."""
    talk(luma, index)
    if index == 30:
        luma[240:248, 8:16] = 0


def _video(
    portrait: tuple[VideoInfo, Picture],
    edit: Callable[[Luma, int], None],
    frames: int,
    sound: bytes | None,
) -> bytes:
    info, source = portrait
    file = io.BytesIO()
    with VideoWriter(file, info.width, info.height, info.fps, info.colour, audio=sound) as writer:
        for index in range(frames):
            luma = source.y.copy()
            edit(luma, index)
            writer.write(Picture(luma, source.u, source.v, source.colour))
    return file.getvalue()


def _report(**changed: Any) -> Report:
    known: dict[str, Any] = {"tier": "wav2lip", "weights": "", "width": 256, "height": 256, "fps": 25}
    known |= {"frames": 60, "seconds": 2.4, "faces": 1, "faceless_frames": 0, "detector_calls": 1}
    return Report(**known | {"stage_seconds": {}} | changed)


def _failed(video: bytes, report: Report, speech: NDArray[np.float32]) -> set[str]:
    checks = Judge(video, report, speech).checks()
    assert [check.name for check in checks] == ["frames", "sound", "faces", "mouth", "rest"]
    return {check.name for check in checks if not check.ok}


@pytest.mark.parametrize(
    ("edit", "failed"),
    [(talk, set()), (keep_still, {"mouth"}), (open_once, {"mouth"}), (shift, {"rest"}), (stamp, {"rest"})],
)
def test_pictures(
    portrait: tuple[VideoInfo, Picture],
    speech: NDArray[np.float32],
    edit: Callable[[Luma, int], None],
    failed: set[str],
) -> None:
    video = _video(portrait, edit, 60, audio.wav(speech))
    assert _failed(video, _report(), speech) == failed


@pytest.mark.parametrize("sound", ["none", "silence", "another", "late"])
def test_sound(portrait: tuple[VideoInfo, Picture], speech: NDArray[np.float32], sound: str) -> None:
    given = {
        "none": None,
        "silence": np.zeros_like(speech),
        "another": speech[::-1],
        "late": np.roll(speech, 1600),
    }[sound]
    video = _video(portrait, talk, 60, None if given is None else audio.wav(given))
    assert _failed(video, _report(), speech) == {"sound"}


def test_frames(portrait: tuple[VideoInfo, Picture], speech: NDArray[np.float32]) -> None:
    short = _video(portrait, talk, 59, audio.wav(speech))
    assert _failed(short, _report(frames=59), speech) == {"frames"}
    assert _failed(short, _report(frames=60), speech) == {"frames"}


def test_faces(portrait: tuple[VideoInfo, Picture], speech: NDArray[np.float32]) -> None:
    video = _video(portrait, talk, 60, audio.wav(speech))
    assert _failed(video, _report(faceless_frames=1), speech) == {"faces"}
    assert _failed(video, _report(faces=0, faceless_frames=60), speech) == {"faces"}


def test_a_result_that_is_no_video_fails_and_raises_nothing(speech: NDArray[np.float32]) -> None:
    checks = Judge(b"no video", _report(), speech).checks()
    assert {check.name for check in checks if not check.ok} == {"frames", "sound", "mouth", "rest"}
    assert "not a media file" in checks[0].found


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (grpc.StatusCode.INTERNAL, "[lipserve:internal] It broke. Search the log for incident 7.", 3),
        (grpc.StatusCode.INVALID_ARGUMENT, "[lipserve:no_face] No face was found. Send one.", 2),
    ],
)
def test_a_service_that_fails_has_its_exit_code_and_its_words(
    start_triton: StartTriton,
    capsys: pytest.CaptureFixture[str],
    status: grpc.StatusCode,
    message: str,
    code: int,
) -> None:
    triton = start_triton()
    triton.script.append(Failing(status, message))
    assert main(["smoke", "--url", triton.url]) == code
    assert message.partition("] ")[2] in capsys.readouterr().err
