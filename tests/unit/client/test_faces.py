from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lipserve.errors import AudioError, InputError, OptionsError
from lipserve_client._faces import face_call

FACES = np.zeros((3, 96, 96, 3), np.uint8)
SPEECH = np.zeros(1600, np.float32)


def _call(faces: Any = FACES, audio: Any = SPEECH, frames: Any = None, fps: Any = 25) -> Any:
    return face_call("wav2lip", faces, audio, fps=fps, frames=frames, sync_offset_ms=40.0)


def test_the_call_of_the_stage() -> None:
    call = _call(frames=np.arange(3, dtype=np.int32), fps="30000/1001")
    assert call.model == "wav2lip_generate"
    assert set(call.inputs) == {"FACES", "AUDIO", "FRAMES", "OPTIONS"}
    assert json.loads(call.inputs["OPTIONS"])["fps"] == "30000/1001"
    assert call.outputs["FACES"].size == FACES.nbytes


def test_a_tier_that_makes_no_crops_is_refused() -> None:
    with pytest.raises(OptionsError, match=r"lipwarp makes no face crops.*such as wav2lip"):
        face_call("lipwarp", FACES, SPEECH, fps=25, frames=None)


def test_without_frames_the_server_counts_them() -> None:
    assert "FRAMES" not in _call().inputs


@pytest.mark.parametrize(
    "faces", [FACES[0], FACES.astype(np.float32), FACES[:, :, :, :2], FACES[:, :90], FACES[:0]]
)
def test_crops_of_another_form_are_refused(faces: Any) -> None:
    with pytest.raises(InputError, match="Give"):
        _call(faces=faces)


@pytest.mark.parametrize(
    "audio", [SPEECH.astype(np.float64), SPEECH[:0], SPEECH.reshape(2, -1), SPEECH + np.float32("nan")]
)
def test_speech_of_another_form_is_refused(audio: Any) -> None:
    with pytest.raises(AudioError, match="Give"):
        _call(audio=audio)


@pytest.mark.parametrize("frames", [np.arange(2, dtype=np.int32), np.arange(3, dtype=np.int64)])
def test_frames_of_another_form_are_refused(frames: Any) -> None:
    with pytest.raises(InputError, match=r"int32 \[3\]"):
        _call(frames=frames)


@pytest.mark.parametrize("fps", [0, -25, "abc", 1000])
def test_a_number_that_is_no_rate_is_refused(fps: Any) -> None:
    with pytest.raises(OptionsError, match="fps"):
        _call(fps=fps)
