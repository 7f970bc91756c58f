"""What the quality tier refuses, and within two seconds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from demo import portrait
from lipserve import Client, audio
from lipserve.errors import (
    InputError,
    LimitError,
    LipServeError,
    ModelNotFoundError,
    OptionsError,
    from_wire,
)
from lipserve.tiers import LATENTSYNC
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.latentsync_generate import LatentSyncGenerate
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from tests.support.processes import computing

pytestmark = pytest.mark.serve

SOUND = audio.wav(np.zeros(8000, np.float32))


def refused(error: type[LipServeError], match: str | None, call: Callable[[], object]) -> None:
    with computing(less_than=2.0), pytest.raises(error, match=match):
        call()


@pytest.fixture(scope="module")
def clip() -> bytes:
    return portrait.clip(0.4, (160, 160))


def twenty_hours() -> bytes:
    """Return a real WAV file of 20 hours of silence: 8 bits, 100 samples a second."""
    data = bytes([128]) * (20 * 3600 * 100)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 100, 100, 1, 8)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


OPTIONS: dict[str, Any] = {
    "no steps": ({"steps": 0}, "steps"),
    "too many steps": ({"steps": 101}, "steps"),
    "guidance is no number": ({"guidance": float("nan")}, "guidance"),
    "infinite guidance": ({"guidance": float("inf")}, "guidance"),
    "less than no guidance": ({"guidance": 0.5}, "guidance"),
    "a cache for ever": ({"deepcache": 11}, "deepcache"),
    "a negative seed": ({"seed": -1}, "seed"),
    "another size": ({"resolution": 384}, "resolution"),
    "another solver": ({"scheduler": "euler"}, "scheduler"),
}


@pytest.mark.parametrize(("options", "match"), OPTIONS.values(), ids=OPTIONS.keys())
def test_the_client_refuses_options_out_of_range(
    quality_client: Client, clip: bytes, options: dict[str, Any], match: str
) -> None:
    named = {"tier": "latentsync", **options}
    crop, heard = np.zeros((1, 256, 256, 3), np.uint8), np.zeros(800, np.float32)
    refused(OptionsError, match, partial(quality_client.dub, clip, SOUND, **named))
    refused(OptionsError, match, partial(quality_client.generate, crop, heard, **named))


@pytest.mark.parametrize("text", ['{"steps": 0}', '{"guidance": NaN}', '{"resolution": 384}', '{"seed": -1}'])
def test_the_server_refuses_them_of_anybody(quality_server: Any, clip: bytes, text: str) -> None:
    call = partial(ask, quality_server.url, VIDEO=clip, AUDIO=SOUND, OPTIONS=text.encode())
    refused(OptionsError, text[2:6], call)


def ask(url: str, **inputs: bytes) -> None:
    """Send a request that is no LipServe client's, and raise what its answer says."""
    tensors = []
    for name, value in inputs.items():
        tensor = InferInput(name, [1], "BYTES")
        tensor.set_data_from_numpy(np.array([value], np.object_))
        tensors.append(tensor)
    with InferenceServerClient(url) as triton:
        try:
            triton.infer("latentsync", tensors, client_timeout=60)
        except InferenceServerException as error:
            raise from_wire(error.message()) or error from None


def test_a_resolution_that_is_not_held_is_refused_with_the_one_that_is(
    quality_client: Client, clip: bytes
) -> None:
    large = partial(quality_client.dub, clip, SOUND, tier="latentsync", resolution=512)
    refused(OptionsError, "has 256.*Set resolution=256", large)
    crops, heard = np.zeros((2, 96, 96, 3), np.uint8), np.zeros(800, np.float32)
    small = partial(quality_client.generate, crops, heard, tier="latentsync")
    refused(InputError, r"Send \[N, 256, 256, 3\]", small)


def test_twenty_hours_of_speech_are_refused(quality_client: Client, quality_server: Any, clip: bytes) -> None:
    endless = twenty_hours()
    dub = partial(quality_client.dub, clip, endless, tier="latentsync")
    refused(LimitError, "longer than 240 minutes", dub)
    refused(LimitError, "longer than", partial(ask, quality_server.url, VIDEO=clip, AUDIO=endless))


def test_a_server_without_the_tier_says_so(client: Client, quality_client: Client, clip: bytes) -> None:
    quality = partial(client.dub, clip, SOUND, tier="latentsync")
    refused(ModelNotFoundError, "holds no model 'latentsync'.*lipserve export", quality)
    refused(ModelNotFoundError, "holds no model 'lipwarp'", partial(quality_client.dub, clip, SOUND))


def test_a_clip_without_a_face_is_refused(quality_client: Client) -> None:
    wall = np.tile(np.arange(160, dtype=np.uint8)[:, None, None], (1, 160, 3))
    with pytest.raises(LipServeError, match="No face was found"):
        quality_client.dub(picture(wall), SOUND, tier="latentsync", steps=1)


def picture(frame: np.ndarray[Any, Any]) -> bytes:
    import cv2

    return cv2.imencode(".png", frame)[1].tobytes()


REQUESTS: dict[str, Any] = {
    "fewer frames": {"frames": np.arange(3, dtype=np.int32)},
    "negative frames": {"frames": np.array([-1, 0], np.int32)},
    "one frame twice": {"frames": np.array([5, 5], np.int32)},
    "frames far apart": {"frames": np.array([0, 2**31 - 1], np.int32)},
    "negative tracks": {"tracks": np.array([-1, 0], np.int32)},
    "outside the segment": {"options": b'{"first_frame": 16, "frames": 16}'},
    "a segment without end": {"options": b'{"first_frame": 0, "frames": 1000000}'},
    "no speech": {"audio": np.zeros(0, np.float32)},
    "speech that is no number": {"audio": np.full(800, np.nan, np.float32)},
    "speech from elsewhere": {"options": b'{"first_sample": 1600000, "total_samples": 1700000}'},
    "speech beyond its end": {"options": b'{"total_samples": 10}'},
    "an absurd peak": {"options": b'{"peak": 1e30}'},
    "small faces": {"faces": np.zeros((2, 128, 128, 3), np.uint8)},
}


@pytest.mark.parametrize("changes", REQUESTS.values(), ids=REQUESTS.keys())
def test_the_stage_refuses_what_does_not_belong_together(
    exported_latentsync: Path, changes: dict[str, Any]
) -> None:
    def no_leaf(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a leaf was asked")

    stage = LatentSyncGenerate(exported_latentsync, no_leaf)
    request: dict[str, Any] = {
        "faces": np.zeros((2, 256, 256, 3), np.uint8),
        "audio": np.zeros(800, np.float32),
        **changes,
    }
    refused(InputError, None, partial(stage, **request))


def test_crops_that_are_none_are_no_error(exported_latentsync: Path) -> None:
    stage = LatentSyncGenerate(exported_latentsync, OnnxLeaves(exported_latentsync))
    made = stage(np.zeros((0, 256, 256, 3), np.uint8), np.zeros(800, np.float32))["FACES"]
    assert made.shape == (0, 256, 256, 3)


TRANSFORMS: dict[str, Any] = {
    "a face as large as a city": lambda a: a * np.float32(1e-4),
    "a face as small as a pixel": lambda a: a * np.float32(300),
    "a face far away": lambda a: a + np.float32([[0, 0, 1e6]] * 2),
    "a face on its side": lambda a: a[:, ::-1],
}


@pytest.mark.parametrize("change", TRANSFORMS.values(), ids=TRANSFORMS.keys())
def test_odd_transforms_are_pasted_or_refused_at_little_cost(
    exported_latentsync: Path, clip: bytes, change: Any
) -> None:
    leaves = OnnxLeaves(exported_latentsync)
    rows = Preprocess(LATENTSYNC, leaves)(clip, SOUND)
    stage = Postprocess(exported_latentsync, leaves)

    with computing(less_than=5.0), suppress(InputError):
        stage(
            clip,
            SOUND,
            rows["FACES"],
            np.ascontiguousarray(change(rows["TRANSFORMS"])),
            *(rows[name] for name in ("WEIGHTS", "FRAMES", "CONTEXT")),
        )
