"""What is read out of the counters of servers."""

from __future__ import annotations

import asyncio
import io
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from tritonclient.grpc import service_pb2

from lipserve.contracts import Form
from lipserve.errors import ConnectError, OptionsError, SetupError
from lipserve.latentsync.flops import leaf_gflop
from lipserve_cli.profile_table import profile_table
from lipserve_client._profiling.profile import Counters, look, metrics_urls, profile

PAGE = """\
# HELP lipserve_stage_seconds Seconds a stage worked on one segment.
# TYPE lipserve_stage_seconds histogram
lipserve_stage_seconds_count{stage="latentsync_generate"} 3
lipserve_stage_seconds_sum{stage="latentsync_generate"} 20.5
lipserve_stage_seconds_bucket{stage="latentsync_generate",le="0.01"} 1
lipserve_leaf_seconds_count{leaf="denoise_step",stage="latentsync_generate"} 20
lipserve_leaf_seconds_sum{leaf="denoise_step",stage="latentsync_generate"} 15.5
lipserve_leaf_seconds_bucket{leaf="denoise_step",stage="latentsync_generate",le="0.01"} 7
lipserve_leaf_rows_total{leaf="denoise_step",stage="latentsync_generate"} 20
lipserve_frames_total 250
nv_inference_count{model="denoise_step",version="1"} 45
"""


class Statistics:
    """Stands where a connection does, and answers with Triton's statistics."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def ask(self, method: str) -> Any:
        assert method == "get_inference_statistics"
        answer = service_pb2.ModelStatisticsResponse()
        model = answer.model_stats.add(name="denoise_step", version="1")
        model.inference_stats.compute_infer.ns = int(9e9)  # by request: runs that are shared count again
        for size in (1, 2):
            batch = model.batch_stats.add(batch_size=size)
            batch.compute_infer.ns = int(self._seconds / 2 * 1e9)
        return answer


@pytest.fixture
def serve_page(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def serve(text: str) -> None:
        monkeypatch.setattr(
            urllib.request, "urlopen", lambda url, timeout: io.BytesIO(text.encode(errors="surrogateescape"))
        )

    return serve


def _look(seconds: float, servers: int = 1) -> Counters:
    connections: list[Any] = [Statistics(seconds)] * servers
    return asyncio.run(look(connections, ["http://host:8002/metrics"] * servers))


def test_counters_add_up_over_servers(serve_page: Callable[[str], None]) -> None:
    serve_page(PAGE)
    both = _look(4.0, servers=2)
    assert both.samples["lipserve_stage_seconds_count", "latentsync_generate", ""] == 6
    assert both.samples["lipserve_leaf_rows_total", "latentsync_generate", "denoise_step"] == 40
    assert both.computing == {"denoise_step": 8.0}
    assert len(both.samples) == 5  # no bucket, and nothing of others


def test_a_profile_is_a_difference(serve_page: Callable[[str], None]) -> None:
    serve_page(PAGE)
    before = _look(4.0)
    serve_page(
        PAGE.replace("} 3\n", "} 5\n")
        .replace("} 20.5", "} 36.5")
        .replace("} 15.5", "} 27.5")
        .replace("} 20\n", "} 36\n")
    )
    (stage,) = profile(before, _look(14.0), Form(256))
    assert (stage.name, stage.calls, stage.seconds) == ("latentsync_generate", 2, 16.0)
    (leaf,) = stage.leaves
    assert (leaf.name, leaf.calls, leaf.rows, leaf.seconds, leaf.computing) == (
        "denoise_step",
        16,
        16,
        12.0,
        10.0,
    )
    assert stage.own == 4.0
    assert leaf.gflop == 16 * leaf_gflop(Form(256))["denoise_step"]
    assert leaf.tflop_per_second == pytest.approx(16 * 8.101 / 10, rel=1e-4)


def test_reduced_width_has_no_arithmetic(serve_page: Callable[[str], None]) -> None:
    serve_page(PAGE)
    none = Counters({}, {})
    for form in (None, Form(256, channels=16)):
        (stage,) = profile(none, _look(4.0), form)
        assert stage.leaves[0].gflop is None
        assert stage.leaves[0].tflop_per_second is None


def test_counters_that_stand_still_are_somebody_elses(serve_page: Callable[[str], None]) -> None:
    serve_page(PAGE)
    with pytest.raises(SetupError, match="--metrics-url"):
        profile(_look(4.0), _look(4.0), None)


def test_a_leaf_of_two_stages_computes_for_each_by_its_rows() -> None:
    samples = {
        ("lipserve_stage_seconds_count", "wav2lip_preprocess", ""): 1.0,
        ("lipserve_stage_seconds_count", "latentsync_preprocess", ""): 1.0,
        ("lipserve_leaf_rows_total", "wav2lip_preprocess", "face_detector"): 30.0,
        ("lipserve_leaf_rows_total", "latentsync_preprocess", "face_detector"): 10.0,
    }
    stages = profile(Counters({}, {}), Counters(samples, {"face_detector": 2.0}), None)
    assert {stage.name: stage.leaves[0].computing for stage in stages} == {
        "wav2lip_preprocess": 1.5,
        "latentsync_preprocess": 0.5,
    }


def test_a_leafs_own_count_of_its_runs_goes_before_tritons() -> None:
    samples = {
        ("lipserve_stage_seconds_count", "wav2lip_preprocess", ""): 1.0,
        ("lipserve_leaf_rows_total", "wav2lip_preprocess", "face_detector"): 3.0,
        ("lipserve_run_seconds_sum", "", "face_detector"): 1.5,
    }
    (stage,) = profile(Counters({}, {}), Counters(samples, {"face_detector": 2.0}), None)
    assert stage.leaves[0].computing == 1.5


def test_the_table_compares_with_the_floor(serve_page: Callable[[str], None]) -> None:
    serve_page(PAGE)
    stages = profile(Counters({}, {}), _look(10.0), Form(256))
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(profile_table(stages, peak=312.0))
    text = console.export_text()
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["latentsync_generate"][1:] == ["3", "20.500", "100.0%"]
    # calls, rows, seconds, share, computing, ms a row, TFLOP, TFLOP/s, of peak, floor
    assert lines["denoise_step"][1:] == [
        "20", "20", "15.500", "75.6%", "10.000", "500.00", "162.019", "16.202", "5.2%", "0.5193",
    ]  # fmt: skip
    assert "the rest of it" in text


def test_a_page_that_cannot_be_read_is_a_typed_error(serve_page: Callable[[str], None]) -> None:
    with pytest.raises(ConnectError, match="--metrics-url"):
        asyncio.run(look([], ["http://127.0.0.1:9/metrics"]))
    for broken in ("<html>404</html>", PAGE.replace("} 20.5", "} twenty"), PAGE[:-20], "\udcff"):
        serve_page(broken)
        with pytest.raises(ConnectError, match="gives no metrics"):
            asyncio.run(look([], ["http://127.0.0.1:8002/metrics"]))
    for empty in ("nv_inference_count 3\n", 'lipserve_stage_seconds_count{stage="x"} +Inf\n'):
        serve_page(empty)
        with pytest.raises(SetupError, match="no metrics of LipServe"):
            asyncio.run(look([], ["http://127.0.0.1:8002/metrics"]))


def test_labels_are_unescaped_and_may_hold_braces(serve_page: Callable[[str], None]) -> None:
    serve_page('lipserve_stage_seconds_count{note="a}b\\"c",stage="x\\\\y"} 3 1700000000\n')
    assert asyncio.run(look([], ["http://host:8002/metrics"])).samples == {
        ("lipserve_stage_seconds_count", "x\\y", ""): 3.0
    }


def test_pages_are_on_the_servers_hosts_unless_they_are_given() -> None:
    assert metrics_urls((), ("gpu1:8001", "[::1]:9001")) == [
        "http://gpu1:8002/metrics",
        "http://[::1]:8002/metrics",
    ]
    assert metrics_urls(["https://a/m"], ("gpu1:8001",)) == ["https://a/m"]
    for wrong in ("file:///etc/passwd", "host:8002", "http://"):
        with pytest.raises(OptionsError, match="metrics page"):
            metrics_urls([wrong], ())
