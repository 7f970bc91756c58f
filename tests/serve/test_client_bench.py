"""`lipserve bench --profile --trace` against a real server that sends its spans."""

from __future__ import annotations

import contextlib
import io
import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lipserve_cli.main import main
from lipserve_client._profiling import trace as tracing
from tests.support.servers import RunningServer, serve

from .conftest import ROOT

pytestmark = pytest.mark.serve

LEAVES = ("face_detector", "face_landmarks", "speech_encoder", "lip_motion", "lip_renderer")
STAGES = ("lipwarp_preprocess", "lipwarp_generate", "lipwarp_postprocess")


@pytest.fixture(scope="module")
def collector() -> str:
    """An address that is free for a collector."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="module")
def traced_server(exported_lipwarp: Path, collector: str) -> Iterator[RunningServer]:
    with serve(
        exported_lipwarp, ROOT / "build/test/traced.log", trace_url=f"http://{collector}/v1/traces"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def run(
    traced_server: RunningServer,
    collector: str,
    media: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a bench of three clips, two at once, prints, and the events of its trace."""
    trace = tmp_path_factory.mktemp("trace") / "trace.json"
    where = ["--url", traced_server.url, "--metrics-url", traced_server.metrics_url, "--collector", collector]
    arguments = ["bench", *media, *where, "--profile", "--trace", str(trace), "--json"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main([*arguments, "--levels", "2", "--requests", "3"]) == 0
    assert re.search(r"trace\.json: \d+ spans", err.getvalue())
    return json.loads(out.getvalue()), json.loads(trace.read_text())["traceEvents"]


def _slices(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["ph"] == "X" and event["name"] == name]


def _together(leaves: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each leaf with what all stages asked of it."""
    found: dict[str, dict[str, Any]] = {}
    for leaf in leaves:
        own = found.setdefault(leaf["name"], dict(leaf, rows=0, calls=0, seconds=0.0, computing=0.0))
        for name in ("rows", "calls", "seconds", "computing"):
            own[name] += leaf[name]
    return found


def test_profile_and_trace_tell_the_same_story(run: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    printed, events = run
    (level,) = printed["levels"]
    stages = {stage["name"]: stage for stage in printed["profile"]}
    assert tuple(stages) == STAGES
    leaves = _together([leaf for stage in stages.values() for leaf in stage["leaves"]])
    assert leaves.keys() == set(LEAVES)
    assert leaves["lip_renderer"]["rows"] == 3 * 25  # a row for each frame that was sent
    assert sum(stage["seconds"] for stage in stages.values()) < 2 * level["seconds"]
    for name, stage in stages.items():
        assert stage["calls"] == len(_slices(events, name)) == 3
        assert 0 <= sum(leaf["seconds"] for leaf in stage["leaves"]) < stage["seconds"]
        seen = sum(event["dur"] for event in _slices(events, name)) / 1e6
        assert stage["seconds"] < seen  # which contains queue and copies
    for name, leaf in leaves.items():
        calls = _slices(events, name)
        assert leaf["calls"] == len(calls)  # the server's own checks are not in it
        assert leaf["seconds"] == pytest.approx(sum(event["dur"] for event in calls) / 1e6, rel=0.5, abs=0.5)
        assert 0 < leaf["computing"] < leaf["seconds"]
        assert leaf["gflop"] is None  # which are known of the quality tier only


def test_every_slice_lies_inside_its_callers(run: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    _, events = run
    known = {e["args"]["span"]: e for e in events if e["ph"] == "X" and "span" in e["args"]}
    assert Counter(e["name"] for e in known.values())["clip"] == 3
    assert len({e["args"]["trace"] for e in known.values()}) == 3
    callers = Counter()
    for event in known.values():
        caller = known.get(event["args"]["parent"])
        if caller is None:
            assert event["name"] == "clip"
            continue
        callers[event["name"], caller["name"]] += 1
        assert event["ts"] >= caller["ts"] - 1000  # microseconds: two clocks
        if caller["name"] != "clip":  # whose answer may be there before Triton notes that it sent it
            # Triton answers for a model before it closes its span: by then the caller's may have ended.
            assert event["ts"] + event["dur"] <= caller["ts"] + caller["dur"] + 1_000_000
    assert callers["lipwarp", "InferRequest"] == 3
    assert callers["InferRequest", "clip"] == 3
    assert all(callers[stage, "lipwarp"] == 3 for stage in STAGES)
    assert callers["lip_renderer", "lipwarp_generate"] == len(_slices(events, "lip_renderer")) > 0
    looked = [callers["face_landmarks", f"lipwarp_{stage}"] for stage in ("preprocess", "postprocess")]
    assert min(looked) > 0  # the last stage measures the mouths that it made
    assert sum(looked) == len(_slices(events, "face_landmarks"))


def test_a_table_for_people(
    traced_server: RunningServer, media: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--url", traced_server.url, "--metrics-url", traced_server.metrics_url]
    assert main(["bench", *media, *where, "--profile", "--requests", "1"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"clips at once .*\n +1 ", printed)  # one at a time, where nobody says otherwise
    for name in (*STAGES, *LEAVES, "all stages"):
        assert re.search(rf"^ *{name} ", printed, re.MULTILINE)


def test_a_server_without_spans_is_an_error_that_says_what_to_do(
    server: RunningServer,
    media: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracing, "WAIT_SECONDS", 0.5)
    trace = tmp_path / "trace.json"
    where = ["--url", server.url, "--collector", "127.0.0.1:0"]
    assert main(["bench", *media, *where, "--trace", str(trace)]) == 5
    assert "lipserve serve --trace-to http://127.0.0.1:" in capsys.readouterr().err
    assert not trace.exists()


def test_a_wrong_metrics_page_is_refused(
    server: RunningServer, media: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", *media, "--url", server.url, "--profile", "--requests", "1"]
    assert main([*arguments, "--metrics-url", "http://127.0.0.1:9/metrics"]) == 4
    assert "--metrics-url" in capsys.readouterr().err
    assert main([*arguments, "--metrics-url", "file:///etc/passwd"]) == 2
    assert main([*arguments[:-3], "--peak", "312"]) == 2
