"""A real Prometheus reads a real pod and its Envoy under load: what it shows, what scales, whom it tells."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import portrait
from lipserve import Client, audio
from lipserve.errors import LipServeError
from lipserve.media.encode import VideoWriter
from lipserve.media.probe import Colour
from lipserve_server.launcher.processes import stubs
from tests.cluster import jobs_service, monitoring, panels
from tests.cluster.jobs_service import Service
from tests.cluster.monitoring import HOST, Prometheus
from tests.cluster.proxy import Names, Proxy, free_port, running
from tests.support.pages import Page
from tests.support.servers import PodProgram
from tests.support.waiting import until

pytestmark = [pytest.mark.serve, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
POD = {"namespace": "lipserve", "pod": "lipserve-0"}
CALLERS, CLIPS = 10, 2
# Gateways and workers are one job to Prometheus, by the chart's ServiceMonitors.
JOBS = [{"target_label": "job", "replacement": "lipserve-jobs"}]
_MEMBERS = 'envoy_cluster_membership_total{envoy_cluster_name="triton"}'
TO_ZERO: dict[str, Any] = {
    "profile": "embedded",
    "store": {"pvc": {"accessModes": ["ReadWriteMany"]}},
    "tests": {"enabled": False},
    "envoy": {"enabled": True},
    "autoscaling": {"mode": "keda", "minReplicas": 0, "prometheus": {"url": "http://prometheus:9090"}},
}


RECORDED_PANELS = {
    "Certificate days left",
    "Setup errors",
    "Engines",
    "GPU memory taken",
    "GPU utilisation",
    "GPU memory",
    "GPU power",
    "Joules of a video second",
    "Tensor cores and multiprocessors",
    "GPU temperature",
    "GPU clock",
    "Replicas wanted and allowed",
}


@dataclass
class Run:
    """What was seen from a start without pods to the end of a load."""

    prometheus: Prometheus
    told: list[dict[str, Any]]
    queries: dict[str, str]
    names: Names
    url: str
    page: Page
    pod: PodProgram = field(init=False)
    jobs: Service = field(init=False)
    started: float = field(default_factory=time.time)
    ended: float = 0.0
    at_zero: dict[str, float | None] = field(default_factory=dict)
    blind: dict[str, float | None] = field(default_factory=dict)
    loaded: dict[str, list[float]] = field(default_factory=dict)
    job: dict[str, list[float]] = field(default_factory=dict)

    def at_work(self, stage: str) -> float:
        """Return how many segments a stage works on now, says Triton itself."""
        return self.page.in_flight(stage=stage)

    def ask(self) -> dict[str, float | None]:
        return {name: self.prometheus.value(query) for name, query in self.queries.items()}


@pytest.fixture(scope="module")
def queries(render: Callable[..., list[dict[str, Any]]]) -> dict[str, str]:
    """The queries of the ScaledObject that scales to zero, by their names."""
    (scaled,) = [made for made in render(TO_ZERO) if made["kind"] == "ScaledObject"]
    return {trigger["name"]: trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]}


def _blank() -> bytes:
    """Return a second of black."""
    file = io.BytesIO()
    with VideoWriter(file, 128, 128, portrait.FPS, Colour(), Fraction(1)) as writer:
        for _ in range(25):
            writer.write(portrait.picture(np.zeros((128, 128, 3), np.uint8)))
    return file.getvalue()


def _load(url: str) -> None:
    """Send clips from several callers at once, among them one without a face."""
    clip, speech = portrait.clip(1.0, (128, 128)), audio.wav(np.zeros(16000, np.float32))
    blank = _blank()

    def call() -> None:
        with Client(url, timeout=120, retries=5) as client:
            for _ in range(CLIPS):
                client.dub(clip, speech)

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    with Client(url, timeout=120, retries=5) as client, pytest.raises(LipServeError, match="face"):
        client.dub(blank, speech, on_no_face="error")
    with Client(url, timeout=120, retries=5) as client:
        assert client.dub(blank, speech, on_no_face="passthrough").report.faceless_frames == 25
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def run(
    exported_lipwarp: Path,
    render: Callable[..., list[dict[str, Any]]],
    queries: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    """Calls with no pod; then a pod, a load on it and its end. Everything still runs."""
    folder = tmp_path_factory.mktemp("observe")
    ports = {name: free_port(HOST) for name in ("grpc", "metrics", "health")}
    names = Names()
    proxy = Proxy(render(TO_ZERO), folder / "envoy", ports, names)
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        stack.callback(names.close)
        hook, told = enter(monitoring.receiver())
        jobs = [
            monitoring.job("lipserve", [f"{HOST}:{ports[name]}" for name in ("metrics", "health")], **POD),
            monitoring.job(
                "lipserve-envoy", [proxy.metrics_url[7:]], "/stats/prometheus", namespace="lipserve"
            ),
        ]
        (folder / "jobs").mkdir()
        service = enter(jobs_service.running(render(jobs_service.VALUES), folder / "jobs", proxy.url))
        jobs += [
            monitoring.job(
                "lipserve-jobs", [service.pages[kind]], namespace="lipserve", pod=f"lipserve-jobs-{kind}-0"
            )
            | {"job_name": f"lipserve-jobs-{kind}", "relabel_configs": JOBS}
            for kind in service.pages
        ]
        page = enter(monitoring.recorded())
        files = sorted(path.name for path in monitoring.RECORDED.glob("*.txt"))
        jobs += [monitoring.job(name, [page], f"/{name}", source="recorded") for name in files]
        enter(running(proxy))
        seen = Run(
            enter(monitoring.prometheus(folder, jobs, enter(monitoring.alertmanager(folder, hook)))),
            told,
            queries,
            names,
            f"{HOST}:{ports['grpc']}",
            Page(ports["metrics"]),
        )
        seen.jobs = service
        _without_pods(seen, proxy)
        given = [f"--{name}-port={port}" for name, port in ports.items()]
        seen.pod = enter(PodProgram(exported_lipwarp, folder / "work", *given))
        until(seen.pod.is_ready, "the pod is ready")
        names.addresses = [HOST]
        until(lambda: proxy.stat("cluster.triton.membership_healthy") == 1, "Envoy sees the pod")
        _under_load(seen, proxy)
        _a_job(seen, render(jobs_service.VALUES))
        yield seen


def _without_pods(seen: Run, proxy: Proxy) -> None:
    until(lambda: seen.ask()["unserved"] == 0.0, "Envoy's counter is read")
    with Client(proxy.url, retries=0, timeout=20) as client, pytest.raises(LipServeError):
        client.dub(portrait.clip(0.2, (96, 96)), audio.wav(np.zeros(3200, np.float32)))
    until(lambda: (seen.ask()["unserved"] or 0.0) > 0, "the refused call is seen")
    seen.at_zero = seen.ask()


def _under_load(seen: Run, proxy: Proxy) -> None:
    until(lambda: seen.prometheus.value('lipserve:pods_ready{job="lipserve"}') == 1.0, "the pod is scraped")
    until(lambda: seen.prometheus.value(_MEMBERS) == 1.0, "Prometheus knows that Envoy has a pod")
    others = {name: query.replace('job="lipserve"', 'job="gone"') for name, query in seen.queries.items()}
    seen.blind = {name: seen.prometheus.value(query) for name, query in others.items()}
    before = time.time()
    _load(proxy.url)
    load = ("pending", "in-flight", "oldest")
    until(lambda: {seen.ask()[name] for name in load} == {0.0}, "the load is over, says Prometheus")
    time.sleep(2)
    seen.ended = time.time()
    for name, query in seen.queries.items():
        seen.loaded[name] = seen.prometheus.values(query, before, seen.ended)


def _a_job(seen: Run, objects: list[dict[str, Any]]) -> None:
    """Have a job made that waits for its first worker, and keep what the autoscaler read meanwhile."""
    queries = {
        trigger["name"]: trigger["metadata"]["query"]
        for made in objects
        if made["kind"] == "ScaledObject"
        for trigger in made["spec"]["triggers"]
    }
    until(lambda: seen.prometheus.value(queries["left"]) == 0.0, "nothing is left to do")
    before, client = time.time(), seen.jobs.client()
    speech = audio.wav(np.zeros(3 * 16000, np.float32))
    job = client.submit(portrait.clip(3.0, (128, 128)), speech)
    until(lambda: (seen.prometheus.value(queries["oldest"]) or 0.0) > 1, "the job waits, says Prometheus")
    seen.jobs.start_worker()
    client.wait(job, timeout=120)
    until(
        lambda: {seen.prometheus.value(query) for query in queries.values()} == {0.0},
        "nothing is left to do any more",
    )
    time.sleep(2)
    for name, query in queries.items():
        seen.job[name] = seen.prometheus.values(query, before, time.time())


def test_queries_of_the_workers_autoscaler_follow_a_job_from_zero_to_rest(run: Run) -> None:
    assert run.job.keys() == {"steps", "oldest", "left"}
    for values in run.job.values():
        assert values[-1] == 0.0
        assert max(values) >= 1.0  # while no worker was there
    assert max(run.job["left"]) == 1.0


def test_at_zero_pods_only_demand_asks_for_one(run: Run) -> None:
    unserved = run.at_zero.pop("unserved")
    assert unserved is not None
    assert unserved > 0
    assert run.at_zero == {"pending": 0.0, "in-flight": 0.0, "oldest": 0.0}


def test_an_outage_of_the_pods_metrics_is_no_rest(run: Run) -> None:
    """Envoy has a pod, and nothing tells what waits in it: an empty answer, to KEDA a failure."""
    del run.blind["unserved"]
    assert run.blind == {"pending": None, "in-flight": None, "oldest": None}


def test_queries_of_the_autoscaler_follow_the_load_up_and_down(run: Run) -> None:
    for name, least in {"pending": 3, "in-flight": 2, "oldest": 0.3}.items():
        values = run.loaded[name]
        assert values[-1] == 0.0, name
        assert max(values) >= least, name
        assert values[0] <= 1, name  # it was at rest before
        assert 0 < values.index(max(values)) < len(values) - 1


def test_a_query_without_data_and_an_unknown_metric_are_faults(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = panels.dashboards()[0]
    board["panels"] = board["panels"][:2]
    board["panels"][0]["targets"] = [{"expr": 'lipserve_ready{namespace=~"$namespace"} > 7'}]
    board["panels"][1]["targets"] = [{"expr": "sum(rate(nv_inference_load_ratio_bucket[$__rate_interval]))"}]
    monkeypatch.setattr(panels, "dashboards", lambda: [board])
    _, faults = panels.evaluate(run.prometheus, run.started, run.ended)
    assert [fault.split(": ")[3] for fault in faults] == [
        'nothing from lipserve_ready{namespace=~"lipserve"} > 7',
        "no metric nv_inference_load_ratio_bucket",
        "nothing from sum(rate(nv_inference_load_ratio_bucket[15s]))",
    ]


def test_a_segment_that_dies_with_its_process_is_a_fault(run: Run) -> None:
    """No outcome tells of it."""
    faults = "lipserve:faults:increase1h"
    # What extrapolating short series adds to a load without faults shrinks as they grow.
    until(lambda: run.prometheus.value(faults) == 0.0, "the load has no fault")
    _kill_at_work(run)
    until(lambda: (run.prometheus.value(faults) or 0.0) > 0.0, "the fault is counted")


def _kill_at_work(run: Run) -> None:
    """Kill a stage's processes while one works on a segment, and after Prometheus has read that it does.

    What is counted between a scrape and a death is lost with the process: it is stopped before.
    """
    work = 'lipserve_segments_in_flight{stage="lipwarp_generate"}'
    stopped = [process for process, model in stubs(run.pod.triton).items() if model == "lipwarp_generate"]
    with Client(run.url, timeout=60, retries=0) as client:
        call = threading.Thread(target=_fails, args=(client,))
        call.start()
        until(lambda: _stopped_at_work(run, stopped), "a segment is at work, and stopped there")
        until(lambda: run.prometheus.value(f"sum({work})") == 1.0, "Prometheus sees it")
        for process in stopped:
            os.kill(process, signal.SIGKILL)
        call.join()
    until(lambda: run.prometheus.value("sum(lipserve_model_healthy == 0)") is None, "the models are back")


def _stopped_at_work(run: Run, processes: list[int]) -> bool:
    """Stop a stage's processes where one works on a segment; let them go on where that is over by then."""
    if run.at_work("lipwarp_generate") != 1.0:
        return False
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    if run.at_work("lipwarp_generate") == 1.0:
        return True
    for process in processes:
        os.kill(process, signal.SIGCONT)
    return False


def _more(prometheus: Prometheus, query: str, than: float) -> bool:
    return (prometheus.value(query) or 0.0) > than


def _fails(client: Client) -> None:
    """Send twelve seconds, one segment, again and again until one is lost."""
    clip, speech = portrait.clip(12.0, (256, 256)), audio.wav(np.zeros(12 * 16000, np.float32))

    def go_on() -> None:
        while True:
            client.dub(clip, speech)

    with pytest.raises(LipServeError):
        go_on()


def test_an_alert_reaches_its_receiver(run: Run) -> None:
    """A model's process is killed three times; the supervisor, Prometheus and Alertmanager do the rest."""
    triton = run.pod.triton
    restarts = 'sum(lipserve_model_restarts_total{model="lipwarp_preprocess"})'
    while (before := run.prometheus.value(restarts) or 0.0) < 3:
        for process, model in stubs(
            triton
        ).items():  # all: one of them may be the last model's, and at its end
            if model == "lipwarp_preprocess":
                os.kill(process, signal.SIGKILL)
        until(
            partial(_more, run.prometheus, restarts, before),
            lambda: f"the model is back; the pod said: {run.pod.said[-2000:]}",
        )
    until(
        lambda: any(alert["labels"]["alertname"] == "LipServeModelRestarting" for alert in run.told),
        "an alert",
    )
    (alert,) = [told for told in run.told if told["labels"]["alertname"] == "LipServeModelRestarting"][:1]
    assert alert["status"] == "firing"
    assert (
        alert["labels"] | {"model": "lipwarp_preprocess", "pod": "lipserve-0", "severity": "warning"}
        == alert["labels"]
    )
    assert alert["annotations"]["runbook_url"] == "docs/operations/runbooks.md#lipservemodelrestarting"
    assert "lipserve-0" in alert["annotations"]["description"]


def test_every_panel_shows_something(run: Run) -> None:
    """After the load and after the deaths, so that panels of faults have some to show."""
    seen, faults = panels.evaluate(run.prometheus, run.started, time.time())
    panels.write(seen, ROOT / "build/test/panels.json")
    assert faults == []
    # Only what needs a GPU, a cluster, engines or TLS was not read from a real process.
    assert {panel.panel for panel in seen if not panel.live} == RECORDED_PANELS


def test_when_the_last_pod_is_gone_the_queries_say_rest_again(run: Run) -> None:
    run.names.addresses = []
    run.pod.process.send_signal(signal.SIGTERM)
    until(lambda: run.prometheus.value("max(lipserve_ready)") is None, "the pod has ended")
    until(lambda: run.prometheus.value(_MEMBERS) == 0.0, "Envoy has let the pod go")
    rest = run.ask()
    del rest["unserved"]
    assert rest == {"pending": 0.0, "in-flight": 0.0, "oldest": 0.0}
