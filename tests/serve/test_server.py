"""What the embedded server offers, and to whom."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from lipserve import Client
from lipserve.contracts import TierName, of_tier
from lipserve.errors import SetupError, VideoError
from lipserve_server.launcher import triton
from lipserve_server.launcher.embedded import EmbeddedServer

pytestmark = pytest.mark.serve

# 127.0.0.1 as the kernel writes it: itself, and as an IPv4 address in an IPv6 socket.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}


def listening(pid: int) -> list[tuple[str, int]]:
    """Return address and port of every socket on which a process listens."""
    links = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()]
    inodes = {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                address, port = words[1].split(":")
                found.append((address, int(port, 16)))
    return found


def port(url: str) -> int:
    return int(re.findall(r":(\d+)", url)[-1])


def regions_by_server() -> set[str]:
    """Return the prefixes of this process's regions: one for each server, however many stages it starts."""
    regions = Path("/dev/shm").glob(f"lipserve_server_{os.getpid()}_*")
    return {region.name.rpartition("_")[0] for region in regions}


def test_a_start_takes_less_than_15_seconds_of_a_core(server: Any) -> None:
    """Seconds of a core: on a machine that others use, the clock measures them too."""
    assert server.start_cpu_seconds < 15


def test_every_model_is_ready(server: Any) -> None:
    with InferenceServerClient(server.url) as triton:
        for tier in ("lipwarp", "wav2lip"):
            assert all(triton.is_model_ready(model.name) for model in of_tier(tier))


def test_the_server_listens_on_loopback_for_grpc_and_metrics_alone(server: Any) -> None:
    own = {port(server.url), port(server.metrics_url)}
    assert {number for _, number in listening(server.pid)} == {port(server.metrics_url)}
    found = [(address, number) for pid in (server.pid, os.getpid()) for address, number in listening(pid)]
    assert {number for _, number in found} >= own
    assert {address for address, number in found if number in own} <= LOOPBACK


@pytest.mark.parametrize(
    "call",
    [
        lambda triton: triton.load_model("wav2lip_preprocess"),
        lambda triton: triton.unload_model("wav2lip_preprocess"),
        lambda triton: triton.get_model_repository_index(),
        lambda triton: triton.update_trace_settings(settings={"trace_rate": "1"}),
        lambda triton: triton.update_log_settings({"log_verbose_level": 9}),
        lambda triton: triton.unload_model(
            "wav2lip_preprocess", headers={"triton-grpc-protocol-admin-key": "guess"}
        ),
    ],
    ids=["load", "unload", "index", "trace", "log", "unload with a wrong key"],
)
def test_control_is_refused_without_the_key(server: Any, call: Callable[[Any], Any]) -> None:
    with InferenceServerClient(server.url) as triton:
        with pytest.raises(InferenceServerException, match="protocol is restricted"):
            call(triton)
        assert triton.is_model_ready("wav2lip_preprocess")


def test_every_process_of_a_stage_has_a_series_of_segments_in_flight(server: Any) -> None:
    series = [name for name in server.metrics() if name.startswith("lipserve_segments_in_flight{")]
    assert len(series) == 14  # two processes of each of two tiers' three stages, and two others


@pytest.mark.parametrize(
    ("tier", "last"),
    [("lipwarp", "lipwarp_postprocess"), ("wav2lip", "postprocess")],
    ids=["lipwarp", "wav2lip"],
)
def test_metrics_count_what_was_served(
    server: Any, client: Client, portrait_clip: bytes, short_speech: bytes, tier: TierName, last: str
) -> None:
    before = server.metrics()
    result = client.dub(portrait_clip, short_speech, tier=tier)
    with pytest.raises(VideoError):
        client.dub(b"no video at all", short_speech)
    after = server.metrics()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("lipserve_frames_total") == result.report.frames
    assert grown("lipserve_video_seconds_total") == pytest.approx(result.report.frames / 25)
    assert grown("lipserve_faceless_frames_total") == result.report.faceless_frames
    for stage, name in (
        (f"{tier}_preprocess", "preprocess"),
        (f"{tier}_generate", "generate"),
        (last, "postprocess"),
    ):
        assert grown(f'lipserve_requests_total{{outcome="ok",stage="{stage}"}}') == 1
        assert server.in_flight(stage) == 0
        busy = grown(f'lipserve_stage_seconds_sum{{stage="{stage}"}}')
        told = result.report.stage_seconds[name]
        # The report counts from one stage to the next, the way between them included: that may be long.
        assert 0.1 * told < busy < told + 0.25, stage


def test_a_refused_request_is_counted_by_its_code(server: Any, speech: Path) -> None:
    """Sent past the client's own checks: the server refuses it by itself."""
    import numpy as np
    from tritonclient.grpc import InferInput

    inputs = []
    for name, value in (("VIDEO", b"no video at all"), ("AUDIO", speech.read_bytes())):
        tensor = InferInput(name, [1], "BYTES")
        tensor.set_data_from_numpy(np.array([value], np.object_))
        inputs.append(tensor)
    key = 'lipserve_requests_total{outcome="invalid_video",stage="wav2lip_preprocess"}'
    before = server.metrics()[key]  # there before the first of its kind, so that Prometheus sees it grow
    with InferenceServerClient(server.url) as triton:
        with pytest.raises(InferenceServerException, match=r"\[lipserve:invalid_video\]") as caught:
            triton.infer("wav2lip", inputs)
        assert str(caught.value.status()) == "StatusCode.INVALID_ARGUMENT"
    after = server.metrics()
    assert after[key] == before + 1
    assert server.in_flight("wav2lip_preprocess") == 0


def test_a_triton_that_aborts_while_it_loads_is_started_again(
    exported_wav2lip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, started = triton.start, list[int]()

    def start(line: list[str], *rest: Any) -> subprocess.Popen[str]:
        started.append(len(line))
        return real(["/bin/sh", "-c", "kill -ABRT $$"] if len(started) == 1 else line, *rest)

    monkeypatch.setattr(triton, "start", start)
    with EmbeddedServer(exported_wav2lip, grpc_port=0, metrics_port=0, ready_timeout=200) as server:
        assert len(started) == 2
        assert server.poll() is None
    assert "is started again" in caplog.text


def test_a_taken_port_is_named(exported: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with (
            pytest.raises(SetupError, match=rf"Port {taken} of 127\.0\.0\.1 .*choose another port"),
            EmbeddedServer(exported, taken, 0),
        ):
            pass


def test_a_temporary_directory_that_cannot_be_written_is_named(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with (
        pytest.raises(SetupError, match=r"No temporary directory .*set TMPDIR"),
        EmbeddedServer(exported, 0, 0),
    ):
        pass


def test_a_missing_repository_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    missing = tmp_path / "models"
    with (
        pytest.raises(
            SetupError, match=rf"no model repository at {missing}.*lipserve export all -o {missing}"
        ),
        EmbeddedServer(missing, 0, 0),
    ):
        pass


def test_a_missing_graph_is_named(tmp_path: Path) -> None:
    graph = tmp_path / "face_detector" / "1" / "model.onnx"
    graph.parent.mkdir(parents=True)
    graph.touch()
    with (
        pytest.raises(SetupError, match=r"lacks face_landmarks/1/model.onnx, wav2lip_generator/1/model.onnx"),
        EmbeddedServer(tmp_path, 0, 0),
    ):
        pass


def test_a_flipped_byte_of_a_graph_is_not_served(exported: Path, tmp_path: Path) -> None:
    for leaf in ("face_detector", "face_landmarks", "wav2lip_generator"):
        shutil.copytree(exported / leaf / "1", tmp_path / leaf / "1")
    graph = tmp_path / "wav2lip_generator" / "1" / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1  # a weight: ONNX Runtime would load it
    graph.write_bytes(content)
    said = rf"{graph} is damaged, or of another export(?s:.*)lipserve export all -o {tmp_path}"
    with pytest.raises(SetupError, match=said), EmbeddedServer(tmp_path, 0, 0):
        pass


def test_a_file_that_is_no_graph_ends_with_tritons_own_message(exported: Path, tmp_path: Path) -> None:
    for leaf in ("face_detector", "face_landmarks", "wav2lip_generator"):
        (tmp_path / leaf / "1").mkdir(parents=True)
        graph = tmp_path / leaf / "1" / "model.onnx"
        for name in ("model.onnx", "manifest.json"):
            graph.with_name(name).write_bytes((exported / leaf / "1" / name).read_bytes())
    bad = tmp_path / "face_landmarks" / "1" / "model.onnx"
    bad.write_bytes(b"not a graph")  # and of just that its manifest tells
    told = json.loads(bad.with_name("manifest.json").read_text())
    told["files"][0]["sha256"] = hashlib.sha256(b"not a graph").hexdigest()
    bad.with_name("manifest.json").write_text(json.dumps(told))
    before = regions_by_server()
    with (
        pytest.raises(SetupError, match=r"(?s)Triton ended.*failed to load 'face_landmarks'"),
        EmbeddedServer(tmp_path, 0, 0),
    ):
        pass
    assert regions_by_server() <= before


@pytest.mark.slow
def test_the_server_runs_where_addresses_are_of_ipv6_alone(
    exported_wav2lip: Path, tmp_path: Path, media: tuple[str, str]
) -> None:
    server = EmbeddedServer(exported_wav2lip, 0, 0, log_file=tmp_path / "triton.log")
    server.options = replace(server.options, host="::", shared_memory=False)  # as the chart starts a pod
    with server:
        assert server.url.startswith("[::1]:")
        assert {address for address, _ in listening(server.pid)} == {"0" * 32}
        with urllib.request.urlopen(server.metrics_url, timeout=10) as page:
            assert b"nv_inference_count" in page.read()
        with Client(server.url) as client:
            assert client.dub(*media, tier="wav2lip").report.frames == 25
