"""Test a program that uses LipServe without a server: a MockTransport takes the server's place.

pytest examples/06_tests_without_a_server.py
"""

import wave
from pathlib import Path

import av
import numpy as np
import pytest

from lipserve import Answer, Call, Client, MockTransport, NoFaceError, UnavailableError


def publish(client: Client, video: Path, speech: Path, folder: Path) -> str:
    """The program under test: dub a clip into a folder, and say what happened."""
    try:
        result = client.dub(video, speech, output=folder / "dubbed.mp4")
    except NoFaceError:
        return "there is nobody to dub"
    return f"{result.report.frames} frames"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Half a second of grey pictures at 25 frames a second."""
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=64, pix_fmt="yuv420p")
        for _ in range(12):
            picture = np.full((64, 64, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return tmp_path / "video.mp4"


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Half a second of silence, 16 kHz mono."""
    with wave.open(str(tmp_path / "speech.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(16_000))
    return tmp_path / "speech.wav"


def test_a_clip_is_published(video: Path, speech: Path, tmp_path: Path) -> None:
    transport = MockTransport()  # answers with the video as it is, under the speech
    with Client(transport=transport) as client:
        assert publish(client, video, speech, tmp_path) == "12 frames"
    assert (tmp_path / "dubbed.mp4").stat().st_size > 0
    assert transport.calls[-1].model == "lipwarp"


def test_a_video_without_a_face_is_told(video: Path, speech: Path, tmp_path: Path) -> None:
    def nobody(call: Call) -> Answer:
        raise NoFaceError("No face was found.", "Send a video that shows one.")

    with Client(transport=MockTransport(nobody)) as client:
        assert publish(client, video, speech, tmp_path) == "there is nobody to dub"
    assert not (tmp_path / "dubbed.mp4").exists()


def test_a_server_that_is_away_is_an_error(video: Path, speech: Path, tmp_path: Path) -> None:
    def away(call: Call) -> Answer:
        raise UnavailableError("The server drains.", "Try again later.")

    with (
        Client(transport=MockTransport(away), retries=0) as client,
        pytest.raises(UnavailableError, match="drains"),
    ):
        publish(client, video, speech, tmp_path)
