"""Who a call's client is, and what is recorded of it."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from lipserve.errors import SetupError, codes
from lipserve.report import Report
from lipserve_server.launcher.guard import message
from lipserve_server.launcher.guard.audit import STANDARD_OUTPUT, AuditLog
from lipserve_server.launcher.guard.clients import (
    HEADER,
    MOST_NAMES,
    OTHERS,
    Call,
    Records,
    client_of,
    outcome_of,
)

REPORT = Report(
    tier="lipwarp",
    weights="shipped",
    width=64,
    height=48,
    fps=25,
    frames=50,
    seconds=2.0,
    faces=1,
    faceless_frames=0,
    detector_calls=3,
    stage_seconds={"preprocess": 0.5, "generate": 0.25, "postprocess": 0.25},
)


class Context:
    """What a call tells of its caller."""

    def __init__(self, peer: str, certificate: dict[str, list[bytes]], header: str = "") -> None:
        self.peer = lambda: peer
        self.auth_context = lambda: certificate
        self.invocation_metadata = lambda: [("other", "x"), *([(HEADER, header)] if header else [])]


@pytest.mark.parametrize(
    ("peer", "certificate", "header", "client"),
    [
        ("ipv4:10.0.0.7:50000", {}, "", "10.0.0.7"),
        ("ipv6:[2001:db8::7]:50000", {}, "", "2001:db8::7"),
        ("ipv6:%5B2001:db8::7%5D:50000", {}, "", "2001:db8::7"),
        ("unix:/run/socket", {}, "", "unix"),
        ("ipv4:10.0.0.7:1", {"x509_common_name": [b"dubbing"]}, "", "dubbing"),
        ("ipv4:10.0.0.7:1", {"x509_subject_alternative_name": [b"a@x.test", b"b"]}, "", "a@x.test"),
        ("ipv4:10.0.0.7:1", {"x509_common_name": [b"envoy"]}, "archive", "archive"),
        ("ipv4:10.0.0.7:1", {"x509_common_name": [b"\xff\n\x1b[2J"]}, "", "???[2J"),
        ("ipv4:10.0.0.7:1", {}, "x" * 1000, "x" * 64),
    ],
)
def test_the_name_of_a_client(peer: str, certificate: Any, header: str, client: str) -> None:
    assert client_of(Context(peer, certificate, header)) == client


def request(model: str = "lipwarp", video: bytes = b"video") -> message.Message:
    made = pb.ModelInferRequest(model_name=model, id="7")
    for name, content in (("VIDEO", video), ("AUDIO", b"sound")):
        made.inputs.add(name=name, datatype="BYTES", shape=[1])
        made.raw_input_contents.append(struct.pack("<I", len(content)) + content)
    return message.read(made.SerializeToString())


def answer(*outputs: tuple[str, bytes]) -> bytes:
    made = pb.ModelInferResponse(model_name="lipwarp")
    for name, content in outputs:
        made.outputs.add(name=name, datatype="BYTES", shape=[1])
        made.raw_output_contents.append(struct.pack("<I", len(content)) + content)
    return bytes(made.SerializeToString())


WHOLE = answer(("RESULT", bytes(1000)), ("REPORT", REPORT.model_dump_json().encode()))


def test_what_a_client_has_had_is_added_up() -> None:
    records = Records()
    for _ in range(2):
        records.add(Call("dubbing", message=request()), "ok", WHOLE)
    records.add(Call("dubbing"), "server_full")
    found = records.usage()["dubbing"]
    assert {outcome: count for outcome, count in found.requests.items() if count} == {
        "ok": 2,
        "server_full": 1,
    }
    assert set(found.requests) == {"ok", *codes()}
    assert (found.frames, found.video_seconds, found.stage_seconds) == (100, 4.0, 2.0)


@pytest.mark.parametrize(
    "given",
    [
        answer(("RESULT", b"x")),
        answer(("REPORT", b"{}")),
        answer(("REPORT", b"\xff")),
        b"\xff\xff",
        answer()[:3],
    ],
    ids=["no report", "an empty report", "no text", "no message", "half a message"],
)
def test_an_answer_without_a_report_counts_as_a_request(given: bytes) -> None:
    records = Records()
    records.add(Call("dubbing", message=request()), "ok", given)
    assert records.usage()["dubbing"].requests["ok"] == 1
    assert records.usage()["dubbing"].frames == 0


def test_the_answer_of_a_stage_is_not_read() -> None:
    records = Records()
    records.add(Call("dubbing", message=request("postprocess")), "ok", WHOLE)
    assert records.usage()["dubbing"].frames == 0


def test_clients_beyond_the_first_hundred_are_counted_together() -> None:
    records = Records()
    for number in range(MOST_NAMES + 50):
        records.add(Call(str(number)), "ok")
    found = records.usage()
    assert len(found) == MOST_NAMES + 1
    assert found[OTHERS].requests["ok"] == 50
    records.add(Call("7"), "ok")
    assert records.usage()["7"].requests["ok"] == 2


class Failure(grpc.RpcError):  # type: ignore[misc]
    def __init__(self, text: str) -> None:
        self.details = lambda: text
        self.code = lambda: grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("text", "outcome"), [("[lipserve:no_face] No face. Send one.", "no_face"), ("anything else", "internal")]
)
def test_the_outcome_of_a_failed_call(text: str, outcome: str) -> None:
    assert outcome_of(Failure(text)) == outcome


def test_the_audit_log_tells_who_sent_which_files_and_what_came_of_it(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "logs" / "audit.jsonl")
    records = Records(log)
    records.add(Call("dubbing", 1.8e9, request(video=b"a" * 5000)), "ok", WHOLE)
    records.add(Call('x"\\', 1.8e9), "server_full")
    log.close()
    first, second = map(json.loads, (tmp_path / "logs" / "audit.jsonl").read_text().splitlines())
    assert first.pop("seconds") <= 0  # the request is of the future
    assert first == {
        "time": 1.8e9,
        "client": "dubbing",
        "outcome": "ok",
        "model": "lipwarp",
        "request": "7",
        "bytes": 5000 + 5 + 8,
        "video_sha256": hashlib.sha256(b"a" * 5000).hexdigest(),
        "audio_sha256": hashlib.sha256(b"sound").hexdigest(),
        "frames": 50,
        "weights": "shipped",
    }
    assert (second["client"], second["outcome"]) == ('x"\\', "server_full")


def test_the_audit_log_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    AuditLog(STANDARD_OUTPUT).write("dubbing", 1.8e9, "ok", None, None)
    assert json.loads(capsys.readouterr().out)["client"] == "dubbing"


def test_an_audit_log_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot be written"):
        AuditLog(tmp_path / "file" / "audit.jsonl")


def test_files_in_shared_memory_have_no_digest() -> None:
    made = pb.ModelInferRequest(model_name="lipwarp")
    video = made.inputs.add(name="VIDEO", datatype="BYTES", shape=[1])
    video.parameters["shared_memory_region"].string_param = "region"
    video.parameters["shared_memory_byte_size"].int64_param = 100
    made.inputs.add(name="AUDIO", datatype="BYTES", shape=[1])
    made.raw_input_contents.append(struct.pack("<I", 5) + b"sound")
    found = message.read(made.SerializeToString())
    assert found.text("VIDEO") is None
    assert bytes(found.text("AUDIO") or b"") == b"sound"
    assert found.text("OTHER") is None
