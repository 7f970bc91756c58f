"""The call of a generate stage, for callers that cut crops themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts import TierName
from lipserve.errors import AudioError, InputError, InternalError, OptionsError
from lipserve.options import parse
from lipserve.tiers import DEFAULT_PAINTER, named
from lipserve_client._fleet import Answered
from lipserve_client._transports import Call, Expected
from lipserve_client._transports.base import Value


def face_call(
    tier: TierName,
    faces: NDArray[np.uint8],
    audio: NDArray[np.float32],
    *,
    fps: Fraction | int | str,
    frames: NDArray[np.int32] | None,
    tracks: NDArray[np.int32] | None = None,
    **options: Any,
) -> Call:
    """Return the call of `tier`'s generate stage, or raise InputError where an array has another form.

    Args: as `AsyncClient.generate`.
    """
    wanted = named(tier)
    stage = wanted.pipeline.generate
    if not wanted.paints:
        raise OptionsError(
            f"The tier {tier} makes no face crops: it moves the pixels of the video.",
            f"Send the video with `dub`, or use a tier that makes crops, such as {DEFAULT_PAINTER}.",
        )
    _check(faces, audio, {"frames": frames, "tracks": tracks})
    checked = parse(wanted.options, json.dumps({"fps": str(fps), **options}))
    inputs: dict[str, Value] = {
        "FACES": np.ascontiguousarray(faces),
        "AUDIO": np.ascontiguousarray(audio),
        "OPTIONS": checked.model_dump_json().encode(),
    }
    if frames is not None:
        inputs["FRAMES"] = np.ascontiguousarray(frames)
    if tracks is not None and any(tensor.name == "TRACKS" for tensor in stage.inputs):
        inputs["TRACKS"] = np.ascontiguousarray(tracks)  # else it sees one frame at a time
    return Call(stage.name, inputs, {"FACES": Expected("UINT8", faces.nbytes)})


def faces_of(answered: Answered, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the crops in an answer."""
    faces = answered.tensors["FACES"]
    if isinstance(faces, bytes) or faces.shape != shape or faces.dtype != np.uint8:
        raise InternalError(
            "The answer does not have the shape and type of the crops.",
            "Check that client and server are of one version.",
        )
    return faces


def _check(
    faces: NDArray[np.uint8],
    audio: NDArray[np.float32],
    numbers: Mapping[str, NDArray[np.int32] | None],
) -> None:
    if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[3] != 3 or faces.shape[1] != faces.shape[2]:
        raise InputError(
            f"faces has the type and shape {faces.dtype} {list(faces.shape)}.",
            "Give square crops, uint8 [N, S, S, 3] RGB.",
        )
    if faces.shape[0] == 0:
        raise InputError("faces contains no crop.", "Give at least one.")
    if audio.dtype != np.float32 or audio.ndim != 1 or audio.size == 0:
        raise AudioError(
            f"audio has the type and shape {audio.dtype} {list(audio.shape)}.",
            "Give 16 kHz mono, float32 [n].",
        )
    if not np.isfinite(audio).all():
        raise AudioError("audio contains values that are not finite.", "Give samples between -1 and 1.")
    for name, values in numbers.items():
        if values is not None and (values.dtype != np.int32 or values.shape != faces.shape[:1]):
            raise InputError(
                f"{name} has the type and shape {values.dtype} {list(values.shape)}.",
                f"Give int32 [{len(faces)}], one for each crop.",
            )
