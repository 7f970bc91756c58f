"""The ensemble that moves mouths, and its stages one by one, as a stranger calls them: no client of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from demo import portrait
from lipserve import audio
from lipserve.contracts import MODELS, NUMPY, Model
from lipserve.errors import LipServeError, from_wire
from lipserve.lipwarp.source import MAGIC, from_bytes
from lipserve.media import decode, probe
from lipserve.report import Report
from lipserve_server.inside.tensors import fits
from tests.support.processes import computing
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

Values = dict[str, Any]
SECONDS = 0.8
PREPROCESS, GENERATE, POSTPROCESS = (
    MODELS[f"lipwarp_{name}"] for name in ("preprocess", "generate", "postprocess")
)
ROWS = ("TRANSFORMS", "WEIGHTS", "FRAMES", "TRACKS", "CONTEXT")


@pytest.fixture(scope="module")
def triton(server: RunningServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.url) as made:
        yield made


@pytest.fixture(scope="module")
def clip() -> bytes:
    return portrait.clip(SECONDS, (160, 160))


def sound(samples: NDArray[np.float32]) -> bytes:
    return audio.wav(samples.astype(np.float32))


@pytest.fixture(scope="module")
def voice(speech: Path) -> bytes:
    return sound(audio.load(speech.read_bytes())[: round(16_000 * SECONDS)])


def ask(triton: InferenceServerClient, model: Model, values: Values) -> Values:
    """Return the outputs of one request; BYTES are bytes."""
    inputs = []
    for spec in model.inputs:
        value = values.get(spec.name)
        if value is None:
            assert spec.optional, spec.name
            continue
        array = np.array([value], np.object_) if isinstance(value, bytes) else value
        tensor = InferInput(spec.name, list(array.shape), spec.dtype)
        tensor.set_data_from_numpy(np.ascontiguousarray(array))
        inputs.append(tensor)
    answer = triton.infer(model.name, inputs, client_timeout=60)
    out: Values = {}
    for spec in model.outputs:
        array = answer.as_numpy(spec.name)
        assert fits(array, spec, model), spec.name
        out[spec.name] = array.item() if spec.dtype == "BYTES" else array
    return out


Refused = Callable[[Callable[[], object], str, str], None]


@pytest.fixture(scope="module")
def refused(server: RunningServer) -> Refused:
    """Assert that a call is refused at little cost, typed, and without a path or a traceback."""

    def check(call: Callable[[], object], code: str, words: str) -> None:
        with computing(2.0, server.pid), pytest.raises(InferenceServerException) as caught:
            call()
        error = from_wire(str(caught.value.message()))
        assert isinstance(error, LipServeError)
        assert error.code == code
        assert words in str(error)
        assert not any(sign in str(error) for sign in ("Traceback", "/home", "site-packages", "incident"))

    return check


@pytest.fixture(scope="module")
def rows(triton: InferenceServerClient, clip: bytes, voice: bytes) -> Values:
    """What the first stage gives of the portrait."""
    return ask(triton, PREPROCESS, {"VIDEO": clip, "AUDIO": voice})


@pytest.fixture(scope="module")
def motion(triton: InferenceServerClient, rows: Values) -> Values:
    return ask(triton, GENERATE, generated(rows))


def generated(rows: Values) -> Values:
    """Return what the second stage takes of the first."""
    renamed = {"AUDIO": rows["SPEECH"], "SOURCE": rows["PREPARED"], "OPTIONS": rows["GENERATE_OPTIONS"]}
    return {**rows, **renamed}


def finished(clip: bytes, voice: bytes, rows: Values, motion: Values) -> Values:
    places = {name: rows[name] for name in ROWS}
    return {"VIDEO": clip, "AUDIO": voice, **motion, **places, "SOURCE": rows["PREPARED"]}


def test_the_ensemble_gives_what_its_stages_give(
    triton: InferenceServerClient, clip: bytes, voice: bytes, rows: Values, motion: Values
) -> None:
    """Encoded finely: a shared batch may round a level otherwise, and a coarse encoder makes more of it."""
    sent = {"VIDEO": clip, "AUDIO": voice, "OPTIONS": b'{"crf": 1}'}
    plan = ask(triton, PREPROCESS, sent)["CONTEXT"]
    apart = ask(triton, POSTPROCESS, {**finished(clip, voice, rows, motion), "CONTEXT": plan})
    whole = ask(triton, MODELS["lipwarp"], sent)
    report = Report.model_validate_json(whole["REPORT"])
    assert (report.tier, report.frames, report.faces, report.covered_frames) == ("lipwarp", 20, 1, 0)
    assert all(seconds > 0 for seconds in report.stage_seconds.values())
    assert probe.probe(whole["RESULT"]).frames == 20
    pictures = [list(decode.read(made["RESULT"], probe.probe(made["RESULT"]))) for made in (apart, whole)]
    for one, other in zip(*pictures, strict=True):
        gap = np.abs(one.y.astype(int) - other.y)
        assert gap.mean() < 0.05
        assert np.percentile(gap, 99.9) <= 2


def test_a_source_made_before_is_taken_and_handed_on(
    triton: InferenceServerClient, clip: bytes, voice: bytes, rows: Values
) -> None:
    files = np.array([clip], np.object_)
    source = ask(triton, MODELS["lipwarp_prepare"], {"VIDEO": files, "OPTIONS": b"{}"})["SOURCE"]
    (who,) = from_bytes(source).people
    assert 1 <= len(who.memories) <= 8
    again = ask(triton, PREPROCESS, {"VIDEO": clip, "AUDIO": voice, "SOURCE": source})
    assert again["PREPARED"] == source
    np.testing.assert_allclose(again["POINTS"], rows["POINTS"], atol=1e-2)
    whole = ask(triton, MODELS["lipwarp"], {"VIDEO": clip, "AUDIO": voice, "SOURCE": source})
    assert Report.model_validate_json(whole["REPORT"]).frames == 20


def test_sound_without_speech_moves_the_lips_as_silence_does(
    triton: InferenceServerClient, clip: bytes, motion: Values
) -> None:
    count = round(16_000 * SECONDS)
    silence, noise, hum = (
        ask(triton, GENERATE, generated(ask(triton, PREPROCESS, {"VIDEO": clip, "AUDIO": sound(heard)})))
        for heard in (
            np.zeros(count),
            np.random.default_rng(0).normal(0, 0.2, count),
            0.3 * np.sin(np.arange(count) * 0.04),
        )
    )
    rest = silence["FLOW"][:, 0].astype(np.float64)
    for other in (noise, hum):
        assert np.abs(other["FLOW"][:, 0] - rest).max() < 0.5  # pixels of 96
    assert np.abs(motion["FLOW"][:, 0] - rest).max() > 2


def test_one_frame_and_one_sample_are_a_clip(triton: InferenceServerClient) -> None:
    video = portrait.clip(0.04, (128, 128))
    made = ask(triton, MODELS["lipwarp"], {"VIDEO": video, "AUDIO": sound(np.zeros(1))})
    assert Report.model_validate_json(made["REPORT"]).frames == 1
    assert probe.probe(made["RESULT"]).frames == 1


def test_no_face_is_an_error_or_no_matter(
    triton: InferenceServerClient, voice: bytes, refused: Refused
) -> None:
    blank = portrait.clip(0.4, (96, 96), zoom=25.0)
    asked = {"VIDEO": blank, "AUDIO": voice}
    refused(lambda: ask(triton, MODELS["lipwarp"], asked), "no_face", "from the front")
    passed = json.dumps({"on_no_face": "passthrough", "on_length_mismatch": "cut"}).encode()
    made = ask(triton, MODELS["lipwarp"], {**asked, "OPTIONS": passed})
    report = Report.model_validate_json(made["REPORT"])
    assert (report.frames, report.faceless_frames, report.faces) == (10, 10, 0)


def longer(source: bytes) -> bytes:
    return source + b"\0" * (48 << 20)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda source: b"\0" * 100, "not a SOURCE"),
        (lambda source: source[:-1], "damaged or cut short"),
        (lambda source: source[:500], "damaged or cut short"),
        (lambda source: source[:12], "damaged or cut short"),
        (lambda source: b"LIPSRC99" + source[8:], "another version"),
        (lambda source: MAGIC + b"\xff\xff\xff\xff" + source[12:], "damaged or cut short"),
        (lambda source: MAGIC + b"\xff\xff\xff\x01" + b"[1," * (11 << 20), "damaged or cut short"),
        (lambda source: source.replace(b'"width":160', b'"width":161'), "from a video of 161x160"),
        (
            lambda source: source.replace(b'"face":"largest"', b'"face":"9999999"'),
            "prepared for face=9999999",
        ),
        (lambda source: source.replace(b'"reach":', b'"reach":-'), "damaged or cut short"),
        (longer, "at most 50331648"),
    ],
)
def test_a_hostile_source_is_refused(
    triton: InferenceServerClient,
    clip: bytes,
    voice: bytes,
    rows: Values,
    motion: Values,
    spoil: Callable[[bytes], bytes],
    words: str,
    refused: Refused,
) -> None:
    bad = spoil(rows["PREPARED"])
    ensemble = {"VIDEO": clip, "AUDIO": voice, "SOURCE": bad}
    refused(lambda: ask(triton, MODELS["lipwarp"], ensemble), "invalid_source", words)
    if words in ("damaged or cut short", "another version", "not a SOURCE"):
        straight = {**generated(rows), "SOURCE": bad}
        refused(lambda: ask(triton, GENERATE, straight), "invalid_source", words)
        straight = {**finished(clip, voice, rows, motion), "SOURCE": bad}
        refused(lambda: ask(triton, POSTPROCESS, straight), "invalid_source", words)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("TRACKS", lambda rows: rows + 1, "people that SOURCE does not have"),
        ("FRAMES", lambda rows: rows[1:], "do not fit together"),
        ("FRAMES", lambda rows: rows - 50, "do not fit together"),
        ("FACES", lambda rows: rows[:0], "do not fit together"),
        ("POINTS", lambda rows: rows * np.nan, "no mouth can have"),
        ("POSES", lambda rows: rows * 1e30, "no mouth can have"),
        ("SHAPES", lambda rows: rows + np.inf, "no mouth can have"),
        ("AUDIO", lambda rows: rows * np.nan, "not finite"),
    ],
)
def test_wrong_rows_into_the_second_stage_are_refused(
    triton: InferenceServerClient,
    rows: Values,
    name: str,
    change: Callable[[Any], Any],
    words: str,
    refused: Refused,
) -> None:
    given = generated(rows)
    dtype = NUMPY[next(spec.dtype for spec in GENERATE.inputs if spec.name == name)]
    with np.errstate(all="ignore"):
        given[name] = change(given[name]).astype(dtype)
    refused(lambda: ask(triton, GENERATE, given), "invalid_input", words)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("MEMORIES", lambda rows: rows + 8, "numbers that SOURCE does not have"),
        ("TRACKS", lambda rows: rows - 1, "numbers that SOURCE does not have"),
        ("BLEND", lambda rows: rows[1:], "do not fit together"),
        ("FLOW", lambda rows: rows * np.nan, "no motion"),
        ("SHARES", lambda rows: rows * 3e38, "no motion"),
        ("OFFSETS", lambda rows: rows - 300, "no motion"),
        ("TRANSFORMS", lambda rows: rows * 0, "no face can be pasted"),
        ("FRAMES", lambda rows: rows[::-1], "not sorted"),
    ],
)
def test_wrong_rows_into_the_last_stage_are_refused(
    triton: InferenceServerClient,
    clip: bytes,
    voice: bytes,
    rows: Values,
    motion: Values,
    name: str,
    change: Callable[[Any], Any],
    words: str,
    refused: Refused,
) -> None:
    given = finished(clip, voice, rows, motion)
    dtype = NUMPY[next(spec.dtype for spec in POSTPROCESS.inputs if spec.name == name)]
    with np.errstate(all="ignore"):
        given[name] = change(given[name]).astype(dtype)
    refused(lambda: ask(triton, POSTPROCESS, given), "invalid_input", words)


def test_a_refusal_is_counted_and_the_next_clip_is_served(
    triton: InferenceServerClient, server: RunningServer, clip: bytes, voice: bytes
) -> None:
    counted = 'lipserve_requests_total{outcome="invalid_source",stage="lipwarp_preprocess"}'
    before = server.metrics()[counted]
    asked = {"VIDEO": clip, "AUDIO": voice}
    with pytest.raises(InferenceServerException, match="invalid_source"):
        ask(triton, MODELS["lipwarp"], {**asked, "SOURCE": b"nothing"})
    assert server.metrics()[counted] == before + 1
    made = ask(triton, MODELS["lipwarp"], asked)
    assert Report.model_validate_json(made["REPORT"]).frames == 20
    assert server.in_flight("lipwarp") == 0
