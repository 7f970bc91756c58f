"""What no client of ours sends: hostile options, segments, plans and rows, straight into the stages.

Every one is a typed refusal that costs less than two seconds of a core, and the stage goes on.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from demo import portrait
from lipserve import audio
from lipserve.errors import InputError
from lipserve.media import probe
from lipserve.options import Options, Segment
from lipserve.tiers import TIERS, WAV2LIP
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate
from tests.support.processes import computing

pytestmark = pytest.mark.serve

SOUND = audio.wav(np.zeros(8000, np.float32))
ROWS = ("FACES", "TRANSFORMS", "WEIGHTS", "FRAMES", "CONTEXT")


@pytest.fixture(scope="module")
def clip() -> bytes:
    return portrait.clip(0.5, (160, 160))


@pytest.fixture(scope="module")
def stages(exported: Path) -> tuple[Preprocess, Wav2LipGenerate, Postprocess]:
    leaves = OnnxLeaves(exported)
    return Preprocess(WAV2LIP, leaves), Wav2LipGenerate(exported, leaves), Postprocess(exported, leaves)


@pytest.fixture(scope="module")
def rows(stages: Any, clip: bytes) -> dict[str, Any]:
    made: dict[str, Any] = stages[0](clip, SOUND)
    return made


def refused(call: Any, *arguments: Any) -> None:
    with computing(less_than=2.0), pytest.raises(InputError):
        call(*arguments)


def segment_options(clip: bytes, **changes: Any) -> bytes:
    info = probe.probe(clip)
    segment = Segment(index=0, count=1, first_frame=0, frames=12, first_sample=0, source=info)
    options = json.loads(Options(segment=segment).model_dump_json(exclude_unset=True))
    for name, value in changes.items():
        place = options["segment"]["source"] if name in options["segment"]["source"] else options["segment"]
        if name != "frames":
            place[name] = value
        else:
            options["segment"]["frames"] = value
    return json.dumps(options).encode()


SEGMENTS: list[dict[str, Any]] = [
    {"first_frame": 2**31},
    {"first_frame": 10**19},
    {"first_frame": -1},
    {"frames": 10**9},
    {"frames": 10**6},
    {"frames": 0},
    {"first_sample": 10**22},
    {"first_sample": 7},
    {"fps": "1e900000000"},
    {"fps": "1/1000000000000"},
    {"fps": "30000000001/1000000007"},
    {"fps": "25/0"},
    {"fps": 25.0},
    {"fps": True},
    {"fps": "1/1000"},
    {"fps": "999/100"},
    {"start": "9" * 15},
    {"start": "1e900000000"},
    {"pixel_aspect": "0"},
    {"pixel_aspect": "1000000000000"},
    {"pixel_aspect": "100000000000001/100000000000000"},
    {"pixel_aspect": "2147483649/2147483648"},
    {"width": 8000},
    {"width": -160},
    {"width": 10**9, "height": 10**9},
    {"rotation": 45},
    {"hdr": "very"},
    {"colour": {"matrix": "bt709", "primaries": "a b;c", "transfer": "bt709", "full_range": False}},
    {"colour": {"matrix": "bt709", "primaries": "foo", "transfer": "bt709", "full_range": False}},
    {"colour": {"matrix": "bt709", "primaries": "bt709", "transfer": "foo", "full_range": False}},
    {"warnings": ["x" * 20_000]},
]


@pytest.mark.parametrize("changes", SEGMENTS, ids=lambda changes: str(changes)[:40])
def test_segments(stages: Any, clip: bytes, changes: dict[str, Any]) -> None:
    refused(stages[0], clip, SOUND, segment_options(clip, **changes))


def test_an_honest_segment_is_served(stages: Any, clip: bytes) -> None:
    made = stages[0](clip, SOUND, segment_options(clip))
    assert len(made["FRAMES"]) == 12


OPTIONS = {
    "nested": b"[" * 100_000,
    "long": b'{"face": "' + b"1" * 70_000 + b'"}',
    "a long face": b'{"face": "' + b"1" * 50 + b'"}',
    "no text": bytes([255, 254]),
    "null": b"null",
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_options(stages: Any, clip: bytes, options: bytes) -> None:
    refused(stages[0], clip, SOUND, options)


def test_an_hour_of_silence_in_a_small_file_is_refused_at_once(stages: Any, clip: bytes) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * 60), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        for _ in range(60):
            frame.pts = None
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    refused(stages[0], clip, file.getvalue())
    refused(stages[0], clip, file.getvalue(), b'{"on_length_mismatch": "cut"}')
    refused(stages[0], clip, file.getvalue(), segment_options(clip, fps="10"))


GENERATE: list[dict[str, Any]] = [
    {"options": b'{"fps": "1e900000000"}'},
    {"options": b'{"fps": "1/1000000000000"}'},
    {"options": b'{"first_sample": 10000000000000000000000}'},
    {"frames": np.array([-1], np.int32)},
    {"frames": np.arange(2, dtype=np.int32)},
    {"faces": np.zeros((1, 32, 32, 3), np.uint8)},
    {"audio": np.zeros(0, np.float32)},
    {"audio": np.full(100, np.nan, np.float32)},
]


@pytest.mark.parametrize("changes", GENERATE, ids=lambda changes: next(iter(changes)))
def test_generate(stages: Any, changes: dict[str, Any]) -> None:
    given = {
        "faces": np.zeros((1, 96, 96, 3), np.uint8),
        "audio": np.zeros(8000, np.float32),
        "frames": np.zeros(1, np.int32),
        "options": None,
    }
    refused(stages[1], *{**given, **changes}.values())


PLANS: list[Any] = [b"", b"xxx", b"{}", {"frames": 0}, {"frames": 10**9}, {"first_frame": -5}]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_plans(stages: Any, clip: bytes, rows: dict[str, Any], plan: Any) -> None:
    text = plan if isinstance(plan, bytes) else json.dumps({**json.loads(rows["CONTEXT"]), **plan}).encode()
    refused(stages[2], clip, SOUND, *(rows[name] for name in ROWS[:-1]), text)


CHANGES: dict[str, Any] = {
    "fewer faces": ("FACES", lambda a: a[:-1]),
    "oblong faces": ("FACES", lambda a: a[:, :, :48]),
    "no pixels": ("FACES", lambda a: a[:, :0, :0]),
    "fewer transforms": ("TRANSFORMS", lambda a: a[:-1]),
    "nothing to invert": ("TRANSFORMS", np.zeros_like),
    "no numbers": ("TRANSFORMS", lambda a: a * np.float32("nan")),
    "heavy": ("WEIGHTS", lambda a: a + 100),
    "weightless": ("WEIGHTS", lambda a: a * np.float32("nan")),
    "backwards": ("FRAMES", lambda a: a[::-1]),
    "elsewhere": ("FRAMES", lambda a: a + 1000),
}


@pytest.mark.parametrize(("name", "change"), CHANGES.values(), ids=CHANGES.keys())
def test_rows(stages: Any, clip: bytes, rows: dict[str, Any], name: str, change: Any) -> None:
    refused(stages[2], clip, SOUND, *(change(rows[n]) if n == name else rows[n] for n in ROWS))


def test_a_plan_of_a_tier_that_pastes_no_faces_is_refused(
    exported: Path, clip: bytes, rows: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass
    class Cutting:
        size: int

    monkeypatch.setitem(TIERS, WAV2LIP.name, replace(WAV2LIP, geometry=lambda resolution: Cutting(96)))
    with pytest.raises(InputError, match="CONTEXT belongs to the tier wav2lip"):
        Postprocess(exported, OnnxLeaves(exported))(clip, SOUND, *(rows[name] for name in ROWS))


def test_rows_of_preprocess_are_served(stages: Any, clip: bytes, rows: dict[str, Any]) -> None:
    report = json.loads(stages[2](clip, SOUND, *(rows[name] for name in ROWS))["REPORT"])
    assert report["frames"] == 12
