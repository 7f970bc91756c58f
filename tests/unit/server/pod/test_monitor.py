"""What one look at a metrics page tells, from a page that a real HTTP server hands out."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lipserve.contracts import MODELS as HELD
from lipserve.contracts import of_tier
from lipserve_server.pod import monitor as monitoring
from lipserve_server.pod.monitor import Load, Monitor, first_stages, queues

PAGE = """\
nv_inference_pending_request_count{{model="wav2lip_preprocess",version="1"}} {waiting}
nv_inference_pending_request_count{{model="latentsync_preprocess",version="1"}} {others}
nv_inference_pending_request_count{{model="lipwarp_prepare",version="1"}} {prepares}
nv_inference_pending_request_count{{model="wav2lip",version="1"}} 9
nv_inference_pending_request_count{{model="postprocess",version="1"}} 9
lipserve_segments_started_total{{stage="wav2lip_preprocess"}} {begun}
lipserve_segments_started_total{{stage="postprocess"}} 100
lipserve_segments_in_flight{{stage="wav2lip_preprocess",instance="wav2lip_preprocess_0_0"}} 1
lipserve_segments_in_flight{{stage="postprocess",instance="postprocess_0_1"}} 1
lipserve_segment_begun_timestamp_seconds{{stage="wav2lip_preprocess",instance="wav2lip_preprocess_0_0"}} {since}
lipserve_segment_begun_timestamp_seconds{{stage="wav2lip_preprocess",instance="wav2lip_preprocess_0_1"}} 0
"""  # noqa: E501
MODELS = tuple(HELD.values())


class Page:
    """A metrics page that a test writes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.text = ""
        self.missing = 0  # bytes that are promised and do not come

    def write(self, waiting: int, begun: int, others: int = 0, prepares: int = 0, since: float = 0.0) -> None:
        self.text = PAGE.format(waiting=waiting, begun=begun, others=others, prepares=prepares, since=since)


@pytest.fixture
def page() -> Iterator[Page]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(made.text) + made.missing))
            self.end_headers()
            self.wfile.write(made.text.encode())

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Page(f"http://127.0.0.1:{server.server_port}/metrics")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_segments_that_the_guard_holds_back_count_as_waiting(page: Page) -> None:
    monitor = Monitor(page.url, MODELS, set, lambda: (7, 12.5))
    page.write(waiting=2, begun=5)
    load = monitor.look()
    assert (load.pending, load.oldest) == (9, 12.5)


def test_callers_queue_for_ensembles_and_for_what_is_called_before_them() -> None:
    assert set(queues(MODELS)) == {*("lipwarp", "wav2lip", "latentsync", "lipwarp_prepare", "lipwarp_check")}


def test_requests_wait_before_the_first_stages_of_ensembles_and_those_outside() -> None:
    assert first_stages(MODELS) == [
        *("lipwarp_preprocess", "wav2lip_preprocess", "latentsync_preprocess"),
        *("lipwarp_prepare", "lipwarp_check"),
    ]
    assert first_stages(of_tier("wav2lip")) == ["wav2lip_preprocess"]


def test_waiting_segments_are_counted_once(page: Page) -> None:
    monitor = Monitor(page.url, MODELS, set)
    page.write(waiting=2, begun=5, others=3, prepares=4)
    load = monitor.look()
    assert (load.pending, load.in_flight, load.oldest) == (9, 2, 0.0)
    time.sleep(0.05)
    assert 0.05 <= monitor.look().oldest < 5


def test_the_oldest_of_two_queues_counts(page: Page) -> None:
    monitor = Monitor(page.url, MODELS, set)
    page.write(waiting=1, begun=0)
    monitor.look()
    time.sleep(0.1)
    page.write(waiting=1, begun=1, others=1)  # the first was begun, two others came
    assert monitor.look().oldest == 0.0
    time.sleep(0.05)
    page.write(waiting=0, begun=2, others=1)
    assert 0.05 <= monitor.look().oldest < 0.1 + 5


def test_a_canary_is_no_segment(page: Page) -> None:
    monitor = Monitor(page.url, MODELS, lambda: {"wav2lip_preprocess", "postprocess"})
    page.write(waiting=1, begun=0)
    assert monitor.look().pending == 0
    page.write(waiting=0, begun=0)
    assert monitor.look().pending == 0, "it has been answered in between"


def test_a_process_at_work_tells_for_how_long(page: Page) -> None:
    monitor = Monitor(page.url, MODELS, set)
    page.write(waiting=0, begun=1, since=1700000000.5)
    assert monitor.look().longest == {"wav2lip_preprocess_0_0": 0.0}, "the time of day was believed"
    time.sleep(0.05)
    assert 0.05 <= monitor.look().longest["wav2lip_preprocess_0_0"] < 5
    page.write(waiting=0, begun=2, since=1700000009.5)
    assert monitor.look().longest == {"wav2lip_preprocess_0_0": 0.0}, "another segment"
    page.write(waiting=0, begun=2)
    assert monitor.look().longest == {}


def test_an_unreachable_page_keeps_the_last_sample(page: Page) -> None:
    monitor = Monitor(page.url, MODELS, set)
    page.write(waiting=2, begun=0)
    before = monitor.look()
    monitor._url = "http://127.0.0.1:1/metrics"
    with pytest.raises(OSError, match="refused"):
        monitor.look()
    assert monitor.load is before


def test_a_page_that_is_cut_short_ends_no_watch(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "INTERVAL", 0.01)
    heard: list[Load] = []
    again = threading.Event()
    monitor = Monitor(page.url, MODELS, set, on_load=lambda load: (heard.append(load), again.set())[0])
    page.write(waiting=2, begun=0)
    page.missing = 9
    with pytest.raises(http.client.IncompleteRead):
        monitor.look()
    monitor.start()
    try:
        assert not again.wait(0.2)
        page.missing = 0
        assert again.wait(10)
    finally:
        monitor.stop()
    assert heard[0].pending == 2


def test_the_page_is_not_asked_of_a_proxy(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    page.write(waiting=2, begun=0)
    assert Monitor(page.url, MODELS, set).look().pending == 2


@pytest.mark.parametrize(
    "broken",
    [
        "<html>503</html>",
        'lipserve_segments_in_flight{stage="a} 1',
        'lipserve_segments_in_flight{stage="a"} NaN',
        'nv_inference_pending_request_count{model="wav2lip_preprocess"} +Inf',
        'lipserve_segments_started_total{stage="wav2lip_preprocess"} ' + "9" * 400,
    ],
)
def test_a_broken_page_is_told_and_the_next_one_is_read(page: Page, broken: str) -> None:
    monitor = Monitor(page.url, MODELS, set)
    page.text = broken + "\n"
    with pytest.raises(ValueError, match="the metrics"):
        monitor.look()
    page.write(waiting=2, begun=0)
    assert monitor.look().pending == 2
