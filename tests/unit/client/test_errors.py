from __future__ import annotations

import pytest
from tritonclient.utils import InferenceServerException

from lipserve.errors import (
    CancelledError,
    ConnectError,
    DeadlineExceededError,
    InputError,
    InternalError,
    LimitError,
    LipServeError,
    ModelNotFoundError,
    NoFaceError,
    ProcessDiedError,
    UnavailableError,
)
from lipserve_client._errors import translate

# The messages are Triton 24.10's own, as it gave them.
MESSAGES: list[tuple[str, str, type[LipServeError]]] = [
    ("NOT_FOUND", "Request for unknown model: 'nope' is not found", ModelNotFoundError),
    ("NOT_FOUND", "Request for unknown model: 'wav2lip' has no available versions", UnavailableError),
    (
        "INTERNAL",
        "in ensemble 'wav2lip', Stub process 'wav2lip_preprocess_0_1' is not healthy.",
        ProcessDiedError,
    ),
    ("INTERNAL", "Model 'face_detector' is not ready", UnavailableError),
    (
        "UNAVAILABLE",
        "in ensemble 'x', [request id: <id_unknown>] Exceeds maximum queue size",
        UnavailableError,
    ),
    ("UNAVAILABLE", "Request timeout expired", UnavailableError),
    ("UNAVAILABLE", "Stream removed (Socket closed)", ConnectError),
    ("UNAVAILABLE", "failed to connect to all addresses; last error: UNKNOWN: ...", ConnectError),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded", DeadlineExceededError),
    ("CANCELLED", "Locally cancelled by application!", CancelledError),
    ("RESOURCE_EXHAUSTED", "Received message larger than max (3 vs. 2)", LimitError),
    ("INVALID_ARGUMENT", "unexpected shape for input 'FACES'", InputError),
    ("INTERNAL", "Failed to process the request(s) for model 'x', message: ...", InternalError),
    ("UNAVAILABLE", "This protocol is restricted, expecting header 'k'", InputError),
    ("UNAUTHENTICATED", "Client authentication failed.", InputError),
    ("PERMISSION_DENIED", "This protocol is restricted: Envoy passes inference.", InputError),
    ("INTERNAL", "in ensemble 'wav2lip', [lipserve:no_face] No face. Send one.", NoFaceError),
]


@pytest.mark.parametrize(("status", "message", "expected"), MESSAGES)
def test_every_message_has_its_type(status: str, message: str, expected: type[LipServeError]) -> None:
    error = translate(InferenceServerException(message, status=f"StatusCode.{status}"), "host:1", "nope")
    assert type(error) is expected
    assert str(error).endswith((".", "]"))


@pytest.mark.parametrize(
    ("model", "tier"), [("lipwarp", "lipwarp"), ("lipwarp_prepare", "lipwarp"), ("latentsync", "latentsync")]
)
def test_a_tier_that_is_missing_says_how_it_is_brought(model: str, tier: str) -> None:
    text = f"Request for unknown model: '{model}' is not found"
    error = translate(InferenceServerException(text, status="StatusCode.NOT_FOUND"), "host:1", model)
    assert isinstance(error, ModelNotFoundError)
    assert f"brings the tier {tier} into its repository" in error.remedy


def test_a_dead_process_is_named() -> None:
    text = "in ensemble 'wav2lip', Stub process 'wav2lip_generate_0_1' is not healthy."
    error = translate(InferenceServerException(text, status="StatusCode.INTERNAL"), "host:1")
    assert "the model wav2lip_generate at host:1 has died" in str(error)


def test_user_text_is_not_taken_for_a_triton_error() -> None:
    text = "[lipserve:invalid_video] 'Stub process x is not healthy.mp4' is not a media file. Send one."
    error = translate(InferenceServerException(text, status="StatusCode.INVALID_ARGUMENT"), "host:1")
    assert error.code == "invalid_video"
    assert not error.retryable
