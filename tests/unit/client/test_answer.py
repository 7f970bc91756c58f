"""A server that answers with anything: what is not the film that was asked for never becomes one."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from lipserve import Client, audio
from lipserve.errors import InternalError
from lipserve.files.picture import Colour, Picture
from lipserve.media import probe
from lipserve.media.encode import VideoWriter
from lipserve.options import Options, parse
from lipserve.tiers import LIPWARP, WAV2LIP
from lipserve_cli.main import main
from lipserve_client._answer import ResultForm
from tests.support.scripted_triton import StartTriton
from tests.support.segments import shorten
from tests.unit.media.bombs import mp4, track

WIDTH, HEIGHT, FRAMES = 63, 48, 25  # odd: the result has a column more
PICTURE = cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()
SPEECH = audio.wav(np.zeros(16_000, np.float32))


def grey(
    frames: int = FRAMES, width: int = 64, height: int = HEIGHT, fps: int = 25, sound: bytes | None = SPEECH
) -> bytes:
    file = io.BytesIO()
    half = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    with VideoWriter(file, width, height, Fraction(fps), Colour(), audio=sound) as writer:
        for _ in range(frames):
            writer.write(Picture(np.full((height, width), 128, np.uint8), half, half, Colour()))
    return file.getvalue()


def other(kind: str, codec: str, streams: int = 1, step: int = 1, sound: bool = True) -> bytes:
    """Return a film of another kind, of the right size and number of frames."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        videos = [container.add_stream(codec, rate=25, width=64, height=HEIGHT) for _ in range(streams)]
        track = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for video in videos:
            for number in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(np.full((HEIGHT, 64, 3), 90, np.uint8), "rgb24")
                frame.pts = number * step
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if track is not None:
            block = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
            block.sample_rate, block.time_base, block.pts = 16_000, Fraction(1, 16_000), 0
            container.mux([*track.encode(block), *track.encode(None)])
    return file.getvalue()


def report(**changed: Any) -> bytes:
    told: dict[str, Any] = {
        "tier": "wav2lip",
        "weights": "mine.pth",
        "width": 64,
        "height": HEIGHT,
        "fps": 25.0,
        "frames": FRAMES,
        "seconds": 1.0,
        "faces": 1,
        "faceless_frames": 0,
        "detector_calls": 1,
        "stage_seconds": {"generate": 0.1},
    }
    return json.dumps(told | changed).encode()


def answer(result: bytes, told: bytes) -> Callable[[Any], Any]:
    def step(request: Any) -> Any:
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        for name, value in (("RESULT", result), ("REPORT", told)):
            response.outputs.add(name=name, datatype="BYTES", shape=[1])
            response.raw_output_contents.append(len(value).to_bytes(4, "little") + value)
        return response

    return step


def ask(start_triton: StartTriton, step: Callable[[Any], Any], output: Path) -> Any:
    triton = start_triton()
    triton.script.extend([step] * 9)
    with Client(triton.url, provenance=False) as client:
        return client.dub(PICTURE, SPEECH, tier="wav2lip", output=output / "out.mp4")


def test_the_right_answer_is_written(start_triton: StartTriton, tmp_path: Path) -> None:
    film = grey()
    result = ask(start_triton, answer(film, report()), tmp_path)
    assert (tmp_path / "out.mp4").read_bytes() == film
    assert (result.report.frames, result.report.width) == (FRAMES, 64)


FILMS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "garbage": lambda: b"19 bytes of garbage",
    "zeros": lambda: bytes(3 << 20),
    "a page": lambda: b"<html>Sign in</html>" * 99,
    "a playlist": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "cut short": lambda: grey()[:-300],
    "a frame less": lambda: grey(FRAMES - 1),
    "a frame more": lambda: grey(FRAMES + 1),
    "another size": lambda: grey(width=66),
    "another rate": lambda: grey(fps=30),
    "no sound": lambda: grey(sound=None),
    "sound alone": lambda: SPEECH,
    "a picture": lambda: PICTURE,
    "another container": lambda: other("matroska", "libx264"),
    "another codec": lambda: other("mp4", "mpeg4"),
    "two films": lambda: other("mp4", "libx264", streams=2),
    "frames too far apart": lambda: other("mp4", "libx264", step=2),
}


@pytest.mark.parametrize("name", FILMS)
def test_an_answer_that_is_not_the_requested_film_is_refused(
    name: str, start_triton: StartTriton, tmp_path: Path
) -> None:
    with pytest.raises(InternalError, match="RESULT is not the requested video"):
        ask(start_triton, answer(FILMS[name](), report()), tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_damaged_film_is_a_typed_error_or_still_the_film() -> None:
    asked = ResultForm("wav2lip", WIDTH, HEIGHT, Fraction(25), FRAMES, sound=True)
    film, rng = grey(), np.random.default_rng(1)
    refused = 0
    for number in range(400):
        data, at = bytearray(film), int(rng.integers(0, 2200))  # the index, which is in front
        match number % 4:
            case 0:
                data = data[: rng.integers(0, len(data))]
            case 1:
                data[at : at + 4] = b"\xff\xff\xff\xff"
            case 2:
                data[at : at + 4] = rng.bytes(4)
            case 3:
                del data[at : at + int(rng.integers(1, 100))]
        try:
            asked.check({"RESULT": bytes(data), "REPORT": report()})
        except InternalError:
            refused += 1
    assert refused > 200


def test_an_index_that_would_fill_the_memory_is_refused(start_triton: StartTriton, tmp_path: Path) -> None:
    film = mp4(track(40_000_000))
    with pytest.raises(InternalError, match="declares 40,000,000 samples"):
        ask(start_triton, answer(film, report()), tmp_path)


REPORTS = {
    "no JSON": b"\xff\xfe",
    "a list": b"[]",
    "absurd frames": report(frames=10**30),
    "no number": report(seconds=float("nan")),
    "no end": report(fps=float("inf")),
    "below zero": report(detector_calls=-1),
    "more frames": report(frames=FRAMES + 1),
    "another width": report(width=63),
    "another tier": report(tier="lipwarp"),
    "another rate": report(fps=30.0),
    "another length": report(seconds=9.0),
    "more faceless frames than frames": report(faceless_frames=FRAMES + 1),
    "more covered frames than frames": report(covered_frames=FRAMES + 1),
    "many segments": report(segments=3),
    "a novel": report(warnings=["x" * 20_000]),
    "a library": report(warnings=["x"] * 5000),
    "a long text": report() + b" " * (1 << 18),
    "a museum": report(stage_seconds={str(k): 1.0 for k in range(100)}),
    "an unknown field": report(evil=1),
    "nested": b"[" * 5000,
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_held_to_its_bounds_and_to_what_was_asked(
    name: str, start_triton: StartTriton, tmp_path: Path
) -> None:
    with pytest.raises(InternalError, match="one version") as refused:
        ask(start_triton, answer(grey(), REPORTS[name]), tmp_path)
    assert len(str(refused.value)) < 1000
    assert os.listdir(tmp_path) == []


def malformed(**changed: Any) -> Callable[[Any], Any]:
    """Return what answers with a RESULT that is described, or filled, wrongly."""
    film = len(grey()).to_bytes(4, "little") + grey()
    told = {"name": "RESULT", "datatype": "BYTES", "shape": [1], "content": film} | changed

    def step(request: Any) -> Any:
        response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
        for name, value in (("REPORT", report()),) if changed.get("name") != "" else ():
            response.outputs.add(name=name, datatype="BYTES", shape=[1])
            response.raw_output_contents.append(len(value).to_bytes(4, "little") + value)
        response.outputs.add(name=told["name"], datatype=told["datatype"], shape=told["shape"])
        if told["content"] is not None:
            response.raw_output_contents.append(told["content"])
        return response

    return step


TENSORS: dict[str, dict[str, Any]] = {
    "no element": {"shape": [0]},
    "five elements": {"shape": [5]},
    "a negative shape": {"shape": [-1]},
    "two negative shapes": {"shape": [-1, -1]},
    "an absurd shape": {"shape": [2**62, 4]},
    "many dimensions": {"shape": [1] * 60},
    "no such type": {"datatype": "NOPE"},
    "no type": {"datatype": ""},
    "numbers": {"datatype": "FP32", "shape": [3], "content": bytes(12)},
    "no content": {"content": b""},
    "no content at all": {"content": None},
    "two bytes": {"content": b"\1\0"},
    "a length that is not there": {"content": b"\xff\xff\xff\xff" + bytes(9)},
    "more than its length": {"content": b"\1\0\0\0" + bytes(9)},
    "another name": {"name": "result"},
    "nothing by any name": {"name": ""},
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_malformed_tensor_is_a_typed_error(name: str, start_triton: StartTriton, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"cannot be read|holds no tensor"):
        ask(start_triton, malformed(**TENSORS[name]), tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_answer_with_nothing_in_it_is_a_typed_error(start_triton: StartTriton, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="holds no tensor"):
        ask(start_triton, lambda request: service_pb2.ModelInferResponse(), tmp_path)


@pytest.mark.parametrize(
    "film",
    [lambda frames: grey(frames + 1, sound=None), lambda frames: grey(frames), lambda frames: b"garbage"],
    ids=["a frame more", "with sound", "garbage"],
)
def test_every_segment_is_held_to_its_own_frames(
    film: Callable[[int], bytes], start_triton: StartTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, WAV2LIP, seconds=0.52)

    def step(request: Any) -> Any:
        """Answer the first segment as it should be."""
        at = [tensor.name for tensor in request.inputs].index("OPTIONS")
        segment = parse(Options, request.raw_input_contents[at][4:]).segment
        assert segment is not None
        frames = segment.frames
        made = film(frames) if segment.index else grey(frames, sound=None)
        return answer(made, report(frames=frames, seconds=frames / 25))(request)

    with pytest.raises(InternalError, match="not the requested video"):
        ask(start_triton, step, tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_servers_message_is_printed_without_escape_sequences(
    start_triton: StartTriton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    triton = start_triton()
    told = report(tier=LIPWARP.name, warnings=["\x1b]0;owned\x07line\r\nerror: \x9b2J"], weights="\x1b[31m")
    triton.script.append(answer(grey(), told))
    picture, speech = tmp_path / "picture.png", tmp_path / "speech.wav"
    picture.write_bytes(PICTURE)
    speech.write_bytes(SPEECH)
    output, account = tmp_path / "o\x1b[2Jut.mp4", tmp_path / "report.json"
    arguments = ["dub", str(picture), str(speech), "-o", str(output), "--url", triton.url]
    assert main([*arguments, "--report", str(account)]) == 0
    said = capsys.readouterr()
    assert probe.probe(output).frames == FRAMES
    for text in (said.out, said.err, account.read_text()):
        assert not {code for code in map(ord, text) if code != 10 and (code < 32 or 127 <= code < 160)}
    assert said.err == "warning: ]0;ownedline error: 2J\n"


def test_a_fooling_server_is_the_servers_fault_on_the_command_line(
    start_triton: StartTriton, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, speech = tmp_path / "picture.png", tmp_path / "speech.wav"
    picture.write_bytes(PICTURE)
    speech.write_bytes(SPEECH)
    for step in (answer(b"garbage", report()), malformed(shape=[0]), malformed(content=None)):
        triton = start_triton()
        triton.script.append(step)
        arguments = ["dub", str(picture), str(speech), "-o", str(tmp_path / "o.mp4"), "--url", triton.url]
        assert main([*arguments, "--tier", "wav2lip"]) == 3
        assert capsys.readouterr().err.startswith("error: The answer")
    assert sorted(os.listdir(tmp_path)) == ["picture.png", "speech.wav"]
