"""Warm-up: send a clip through every ensemble before the pod is ready."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydantic import ValidationError
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from lipserve import audio
from lipserve.contracts import SAMPLE_RATE, Model
from lipserve.errors import SetupError
from lipserve.options.consent import TRIAL
from lipserve.report import Report
from lipserve.tiers import TIERS

CLIP = Path(__file__).with_name("warmup.mp4")
"""16 frames, 160 x 160, 25 fps, one face: `skimage.data.astronaut` (NASA, public domain), gently moved."""

_FRAMES = 16
_SPEECH = np.sin(np.arange(_FRAMES * SAMPLE_RATE // 25, dtype=np.float32) * 0.1) * 0.1


def warm_up(client: InferenceServerClient, models: Iterable[Model], deadline: float) -> None:
    """Send one clip through every ensemble and check the result.

    Args:
        deadline: of `time.monotonic`, for all of them; each gets a second at least.

    Raises:
        SetupError: one does not answer, or answers with other frames than those asked for, all with a face.
    """
    held = {model.name: model for model in models}
    for tier in TIERS.values():
        model = held.get(tier.name)
        if model is None:
            continue
        inputs = [
            _bytes("VIDEO", CLIP.read_bytes()),
            _bytes("AUDIO", audio.wav(_SPEECH)),
            _bytes("OPTIONS", json.dumps({**tier.least, "consent": TRIAL.model_dump(mode="json")}).encode()),
        ]
        left = max(1.0, deadline - time.monotonic())
        try:
            answer = client.infer(model.name, inputs, client_timeout=left)
            report = Report.model_validate_json(answer.as_numpy("REPORT").item())
        except (InferenceServerException, ValidationError) as error:
            raise _failed(model, str(error)) from error
        if report.frames != _FRAMES or report.faceless_frames:
            raise _failed(model, f"{report.frames} frames, {report.faceless_frames} of them without a face")


def _bytes(name: str, value: bytes) -> InferInput:
    tensor = InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([value], np.object_))
    return tensor


def _failed(model: Model, what: str) -> SetupError:
    return SetupError(
        f"The warm-up clip through {model.name} failed: {what}.",
        "Look at the log above; where a network gives nonsense, export it again.",
    )
