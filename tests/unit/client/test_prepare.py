"""A SOURCE: which requests make one, which carry it, and which are never sent."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lipserve import Client, audio
from lipserve.errors import InternalError, NoFaceError, OptionsError, SourceError
from lipserve.files.picture import Colour, Picture
from lipserve.lipwarp.source import MAGIC, MAX_BYTES, Source
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.options import Options, PrepareOptions, parse
from lipserve.report import Report
from lipserve.tiers import LIPWARP
from lipserve_client import _fleet as retry
from tests.support.scripted_triton import Failing, ScriptedTriton, StartTriton
from tests.support.segments import shorten
from tests.unit.lipwarp.people import person

FRAMES, WIDTH, HEIGHT = 400, 64, 48


def film(group: int, container: str = "mp4") -> bytes:
    """Return 400 frames, 25 a second, of rising brightness, a key frame every `group`."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        options = {"g": str(group), "bf": "2", "sc_threshold": "0", "crf": "10", "preset": "ultrafast"}
        stream = output.add_stream("libx264", rate=25, width=WIDTH, height=HEIGHT, options=options)
        stream.pix_fmt = "yuv420p"
        noise = np.random.default_rng(5).integers(0, 9, (HEIGHT, WIDTH, 3), np.uint8)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, number, 1) + np.uint8(number // 2), "rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


VIDEO = film(50)
SPEECH = audio.wav(np.zeros(14 * 16_000, np.float32))


def source_of(video: bytes, face: str = "largest", people: int = 1) -> Source:
    digest = hashlib.sha256(video).hexdigest()
    return Source(digest, WIDTH, HEIGHT, FRAMES, face, Colour(), tuple(person() for _ in range(people)))


SOURCE = source_of(VIDEO).to_bytes()


def given(request: Any) -> dict[str, list[bytes]]:
    """Return the texts of a request."""
    found = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        assert tensor.datatype == "BYTES"
        found[tensor.name], at = [], 0
        for _ in range(tensor.shape[0]):
            length = int.from_bytes(raw[at : at + 4], "little")
            found[tensor.name].append(raw[at + 4 : at + 4 + length])
            at += 4 + length
        assert at == len(raw)
    return found


def texts(request: Any, **outputs: bytes) -> Any:
    response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
    for name, value in outputs.items():
        response.outputs.add(name=name, datatype="BYTES", shape=[1])
        response.raw_output_contents.append(len(value).to_bytes(4, "little") + value)
    return response


class Service:
    """Answers `lipwarp_prepare` with one SOURCE after another, and segments with as many grey frames.

    Attributes:
        asked: the texts of every request, by model.
    """

    def __init__(self, triton: ScriptedTriton, *sources: bytes) -> None:
        self._sources = list(sources)
        self.asked: dict[str, list[dict[str, list[bytes]]]] = {"lipwarp_prepare": [], "lipwarp": []}
        self.url = triton.url
        triton.script.extend([self] * 30)

    def __call__(self, request: Any) -> Any:
        inputs = given(request)
        self.asked[request.model_name].append(inputs)
        if request.model_name == "lipwarp_prepare":
            return texts(request, SOURCE=self._sources.pop(0))
        (options,) = inputs["OPTIONS"]
        segment = parse(Options, options).segment
        frames = segment.frames if segment else 25
        report = Report(
            tier="lipwarp", weights="", width=WIDTH, height=HEIGHT, fps=25, frames=frames,
            seconds=frames / 25, faces=1, faceless_frames=0, detector_calls=1, stage_seconds={},
        )  # fmt: skip
        return texts(
            request,
            RESULT=grey(frames, None if segment else inputs["AUDIO"][0]),
            REPORT=report.model_dump_json().encode(),
        )


def grey(frames: int, sound: bytes | None) -> bytes:
    file = io.BytesIO()
    half = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    with VideoWriter(file, WIDTH, HEIGHT, Fraction(25), Colour(), audio=sound) as writer:
        for _ in range(frames):
            writer.write(Picture(np.full((HEIGHT, WIDTH), 128, np.uint8), half, half, Colour()))
    return file.getvalue()


def asked_of(request: dict[str, list[bytes]]) -> PrepareOptions:
    return parse(PrepareOptions, request["OPTIONS"][0])


def firsts(asked: PrepareOptions) -> list[int]:
    return [stretch.first for stretch in asked.stretches]


def test_only_stretches_that_begin_at_key_frames_are_sent(start_triton: StartTriton, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(VIDEO)
    source = source_of(VIDEO, "all").to_bytes()
    service = Service(start_triton(), source)
    with Client(service.url) as client:
        assert client.prepare(path, face="all") == source
    (request,) = service.asked["lipwarp_prepare"]
    asked, info = asked_of(request), probe.probe(VIDEO)
    assert (asked.face, asked.sha256) == ("all", hashlib.sha256(VIDEO).hexdigest())
    assert asked.source == info
    assert firsts(asked) == [0, 50, 100, 150, 200, 250, 300, 350]
    assert len(request["VIDEO"]) == len(asked.stretches)
    assert sum(map(len, request["VIDEO"])) < 0.5 * len(VIDEO)
    whole = [picture.y.mean() for picture in decode.read(VIDEO, info)]
    for piece, stretch in zip(request["VIDEO"], asked.stretches, strict=True):
        shown = decode.read(piece, info, stretch.first, stretch.frames)
        expected = whole[stretch.first : stretch.first + stretch.frames]
        assert [picture.y.mean() for picture in shown] == expected


@pytest.mark.parametrize(
    "video", [film(50, "h264"), film(400)], ids=["no timestamps to cut by", "one key frame"]
)
def test_a_video_that_cutting_makes_no_smaller_is_sent_once(start_triton: StartTriton, video: bytes) -> None:
    service = Service(start_triton(), source_of(video).to_bytes())
    with Client(service.url) as client:
        client.prepare(video)
    (request,) = service.asked["lipwarp_prepare"]
    (sent,) = request["VIDEO"]
    asked = asked_of(request)
    assert len(sent) <= len(video)
    assert len(asked.stretches) == 8
    last, info = asked.stretches[-1], probe.probe(video)
    assert asked.source == info
    shown = [
        [picture.y.mean() for picture in decode.read(file, info, last.first, last.frames)]
        for file in (sent, video)
    ]
    assert shown[0] == shown[1]


def test_a_video_that_shows_no_face_is_looked_at_again_between(start_triton: StartTriton) -> None:
    nobody = source_of(VIDEO, people=0).to_bytes()
    service = Service(start_triton(), nobody, SOURCE)
    with Client(service.url) as client:
        assert client.prepare(VIDEO) == SOURCE
    first, second = map(asked_of, service.asked["lipwarp_prepare"])
    assert len(second.stretches) == 7
    edges = zip(firsts(first), firsts(second), firsts(first)[1:], strict=False)
    assert all(before < middle < after for before, middle, after in edges)
    frames = [
        n for asked in (first, second) for s in asked.stretches for n in range(s.first, s.first + s.frames)
    ]
    assert len(set(frames)) == len(frames)


def test_a_video_that_shows_no_face_anywhere_is_refused(start_triton: StartTriton) -> None:
    nobody = source_of(VIDEO, people=0).to_bytes()
    service = Service(start_triton(), nobody, nobody, nobody)
    with Client(service.url) as client, pytest.raises(NoFaceError, match="from the front"):
        client.prepare(VIDEO)
    assert 2 <= len(service.asked["lipwarp_prepare"]) <= 3


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, LIPWARP, seconds=3.0)


@pytest.mark.usefixtures("short_segments")
def test_the_segments_of_a_clip_share_one_source(start_triton: StartTriton) -> None:
    triton = start_triton()
    service = Service(triton, SOURCE)
    told: list[tuple[int, int]] = []
    with Client(service.url) as client:
        result = client.dub(VIDEO, SPEECH, on_progress=lambda *step: told.append(step))
    assert triton.calls == ["lipwarp_prepare", *["lipwarp"] * 5]
    assert [request["SOURCE"] for request in service.asked["lipwarp"]] == [[SOURCE]] * 5
    assert (result.report.frames, result.report.segments) == (350, 5)
    assert 0 < result.prepare_seconds < result.seconds
    assert told[0] == (0, 350)
    assert told[-1] == (350, 350)
    assert len(told) == 6


@pytest.mark.usefixtures("short_segments")
def test_only_what_the_clip_shows_is_looked_at(start_triton: StartTriton) -> None:
    service = Service(start_triton(), SOURCE)
    with Client(service.url) as client:
        client.dub(VIDEO, audio.wav(np.zeros(7 * 16_000, np.float32)))
    (request,) = service.asked["lipwarp_prepare"]
    last = asked_of(request).stretches[-1]
    assert 150 <= last.first + last.frames <= 175 + 8


def test_a_clip_of_one_request_leaves_it_to_the_server(start_triton: StartTriton) -> None:
    triton = start_triton()
    service = Service(triton)
    with Client(service.url) as client:
        result = client.dub(VIDEO, audio.wav(np.zeros(16_000, np.float32)))
    assert triton.calls == ["lipwarp"]
    assert "SOURCE" not in service.asked["lipwarp"][0]
    assert result.prepare_seconds == 0


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("seconds", [1.0, 14.0], ids=["one request", "several"])
@pytest.mark.parametrize("kept", ["bytes", "file"])
def test_a_kept_source_is_used(start_triton: StartTriton, tmp_path: Path, seconds: float, kept: str) -> None:
    triton = start_triton()
    service = Service(triton)
    path = tmp_path / "person.source"
    path.write_bytes(SOURCE)
    speech = audio.wav(np.zeros(round(seconds * 16_000), np.float32))
    with Client(service.url) as client:
        client.dub(VIDEO, speech, source=SOURCE if kept == "bytes" else path, strength=1.2)
    assert set(triton.calls) == {"lipwarp"}
    for request in service.asked["lipwarp"]:
        assert request["SOURCE"] == [SOURCE]
        assert parse(Options, request["OPTIONS"][0]).strength == 1.2


def test_the_face_of_the_source_is_meant_where_none_is_named(start_triton: StartTriton) -> None:
    service = Service(start_triton())
    kept = source_of(VIDEO, "10,20").to_bytes()
    with Client(service.url) as client:
        client.dub(VIDEO, audio.wav(np.zeros(1600, np.float32)), source=kept)
    assert parse(Options, service.asked["lipwarp"][0]["OPTIONS"][0]).face == "10,20"


def _refused(triton: ScriptedTriton, error: type[Exception], words: str, **asked: Any) -> None:
    with Client(triton.url) as client, pytest.raises(error, match=words):
        client.dub(VIDEO, SPEECH, **asked)
    assert triton.calls == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (source_of(film(40)).to_bytes(), "from another video.*lipserve prepare"),
        (replace(source_of(VIDEO), sha256="", frames=399).to_bytes(), "with 399 frames"),
        (SOURCE[:-100], "damaged or cut short"),
        (SOURCE[:40], "damaged or cut short"),
        (SOURCE[:90] + b"\0" + SOURCE[91:], "damaged or cut short"),
        (MAGIC[:6] + b"99" + SOURCE[8:], "another version"),
        (b"", "not a SOURCE"),
        (VIDEO, "not a SOURCE"),
        (SOURCE + bytes(MAX_BYTES), "at most"),
        ("absent.source", "absent.source.*Check the path"),
        (".", "directory"),
    ],
)
def test_a_source_that_does_not_belong_to_the_video_is_never_sent(
    start_triton: StartTriton, source: bytes | str, words: str
) -> None:
    _refused(start_triton(), SourceError, words, source=source)


def test_a_source_of_other_faces_is_never_sent(start_triton: StartTriton) -> None:
    _refused(start_triton(), SourceError, "face=largest, not all", source=SOURCE, face="all")


def test_a_tier_that_knows_no_people_takes_no_source(start_triton: StartTriton) -> None:
    _refused(
        start_triton(), OptionsError, "wav2lip does not use a SOURCE.*lipwarp", source=SOURCE, tier="wav2lip"
    )


@pytest.mark.parametrize(
    ("face", "words"), [("nobody", "not a valid choice of a face"), ("64,10", "outside the picture")]
)
def test_an_unknown_face_is_refused_before_anything_is_sent(
    start_triton: StartTriton, face: str, words: str
) -> None:
    triton = start_triton()
    with Client(triton.url) as client, pytest.raises(OptionsError, match=words):
        client.prepare(VIDEO, face=face)
    assert triton.calls == []


@pytest.mark.usefixtures("short_segments")
def test_a_long_clip_without_a_face_is_refused_or_passed_through(start_triton: StartTriton) -> None:
    triton = start_triton()
    nobody = source_of(VIDEO, people=0).to_bytes()
    service = Service(triton, *[nobody] * 6)
    with Client(service.url) as client:
        with pytest.raises(NoFaceError, match="passthrough"):
            client.dub(VIDEO, SPEECH)
        assert set(triton.calls) == {"lipwarp_prepare"}
        assert client.dub(VIDEO, SPEECH, on_no_face="passthrough").report.segments == 5
    assert [request["SOURCE"] for request in service.asked["lipwarp"]] == [[nobody]] * 5


@pytest.mark.usefixtures("short_segments")
def test_a_server_that_is_full_is_asked_again(
    start_triton: StartTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.02)
    triton = start_triton()
    triton.script.append(Failing(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"))
    service = Service(triton, SOURCE)
    with Client(service.url) as client:
        assert client.dub(VIDEO, SPEECH).retries == 1
    assert triton.calls == ["lipwarp_prepare"] * 2 + ["lipwarp"] * 5


@pytest.mark.parametrize(
    "answer",
    [SOURCE[:-10], b"", source_of(VIDEO, "all").to_bytes(), source_of(VIDEO + b"\0").to_bytes()],
    ids=["damaged", "empty", "of other faces", "of another video"],
)
def test_an_answer_that_is_not_the_source_is_a_defect(start_triton: StartTriton, answer: bytes) -> None:
    service = Service(start_triton(), answer)
    with Client(service.url) as client, pytest.raises(InternalError, match="one version"):
        client.prepare(VIDEO)


def test_the_options_stay_small(start_triton: StartTriton) -> None:
    service = Service(start_triton(), SOURCE)
    with Client(service.url) as client:
        client.prepare(VIDEO)
    (options,) = service.asked["lipwarp_prepare"][0]["OPTIONS"]
    assert set(json.loads(options)) == {"sha256", "source", "stretches"}
    assert len(options) < 4096
