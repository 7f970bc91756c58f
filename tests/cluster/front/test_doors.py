"""What clients can reach through Envoy, and how much of it."""

from __future__ import annotations

import concurrent.futures
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tritonclient.utils import InferenceServerException

from lipserve.errors import InputError
from lipserve_client._errors import translate

pytestmark = pytest.mark.serve

OPEN: dict[str, Callable[[Any], object]] = {
    "live": lambda client: client.is_server_live(),
    "ready": lambda client: client.is_server_ready(),
    "model ready": lambda client: client.is_model_ready("negate"),
    "metadata": lambda client: client.get_server_metadata(),
    "model metadata": lambda client: client.get_model_metadata("negate"),
    "configuration": lambda client: client.get_model_config("negate"),
    "statistics": lambda client: client.get_inference_statistics("negate"),
}
CLOSED: dict[str, Callable[[Any], object]] = {
    "index": lambda client: client.get_model_repository_index(),
    "load": lambda client: client.load_model("negate"),
    "unload": lambda client: client.unload_model("negate"),
    "trace": lambda client: client.get_trace_settings(),
    "set trace": lambda client: client.update_trace_settings(settings={"trace_rate": "1"}),
    "log": lambda client: client.get_log_settings(),
    "set log": lambda client: client.update_log_settings({"log_verbose_level": 1}),
    "shared memory": lambda client: client.register_system_shared_memory("a", "/a", 8),
    "shared memory status": lambda client: client.get_system_shared_memory_status(),
    "CUDA shared memory": lambda client: client.get_cuda_shared_memory_status(),
}


def test_methods(pods: Any, proxy: Any, caller: Any) -> None:
    client = caller(proxy({}).url)
    for name, call in OPEN.items():
        assert call(client.client), name
    direct = caller(pods[0].url).client
    for name, call in CLOSED.items():
        with pytest.raises(InferenceServerException) as refused:
            call(client.client)
        assert refused.value.status() == "StatusCode.PERMISSION_DENIED", name
        assert isinstance(translate(refused.value, "envoy"), InputError), name
    direct.get_model_repository_index()  # the pod itself does not mind: it is Envoy that closes it
    assert pods[0].control.is_model_ready("negate")


def test_grpc_health(pods: Any, proxy: Any) -> None:
    with grpc.insecure_channel(proxy({}).url) as channel:
        answer = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=10)
    assert answer == b"\x08\x01"  # SERVING


def test_a_path_that_only_looks_open_is_closed(pods: Any, proxy: Any) -> None:
    service = "/inference.GRPCInferenceService"
    with grpc.insecure_channel(proxy({}).url) as channel:
        for path in (
            f"{service}/ModelInfer/../RepositoryModelUnload",
            f"{service}/ModelInfer/x",
            "/inferenceXGRPCInferenceService/ModelInfer",
            f"/{service}/RepositoryModelUnload",
            f"{service}/%52epositoryModelUnload",
            f"{service}/ModelStreamInfer",
        ):
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(path)(b"", timeout=10)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED, path


def test_admin_shows_its_metrics_and_nothing_else(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({})
    assert caller(envoy.url).infer() == ""
    with urllib.request.urlopen(f"{envoy.metrics_url}/stats/prometheus?usedonly", timeout=10) as page:
        text = page.read().decode()
    assert 'envoy_cluster_upstream_rq_total{envoy_cluster_name="triton"}' in text
    for method, path in (
        ("GET", "/config_dump"),
        ("GET", "/stats"),
        ("GET", "/stats/prometheus/../../config_dump"),
        ("POST", "/quitquitquit"),
        ("POST", "/ready"),
        ("GET", "/"),
    ):
        request = urllib.request.Request(envoy.metrics_url + path, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        refused.value.close()
        assert refused.value.code == 404, path
    admin = envoy.bootstrap["admin"]["address"]["socket_address"]["address"]
    assert admin == "127.0.0.1"


def test_a_request_above_the_limit_is_refused_and_below_it_passes(pods: Any, proxy: Any, caller: Any) -> None:
    client = caller(proxy({"envoy": {"limits": {"requestMiB": 1}}}).url)
    assert client.infer(250_000) == ""  # 1,000,000 bytes
    assert client.infer(270_000) == "RESOURCE_EXHAUSTED the request is larger than 1 MiB"


def test_a_large_request_is_sent_again_whole(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({})
    client = caller(envoy.url)
    pods[0].control.unload_model("negate")
    outcomes = [client.infer(4_000_000) for _ in range(6)]  # 16 MB: more than any buffer by default
    assert set(outcomes) == {""}
    assert envoy.stat("cluster.triton.upstream_rq_retry_success") > 0


def test_rate_limit(pods: Any, proxy: Any, caller: Any) -> None:
    limit = {"enabled": True, "requestsPerSecond": 1, "burst": 5}
    client = caller(proxy({"envoy": {"rateLimit": limit}}).url)
    outcomes = [client.infer() for _ in range(20)]
    assert 5 <= outcomes.count("") <= 12
    refused = next(outcome for outcome in outcomes if outcome)
    assert refused == "UNAVAILABLE too many requests: try again in a few seconds"


def test_requests_above_the_limit_of_a_replica_are_refused(pods: Any, proxy: Any, caller: Any) -> None:
    client = caller(proxy({"envoy": {"limits": {"requests": 2}}}).url)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: client.infer(seconds=0.5), range(8)))
    assert outcomes.count("") >= 2
    assert any(outcome.startswith("UNAVAILABLE") for outcome in outcomes)


def test_the_access_log_is_a_line_of_json_for_each_request(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({})
    client = caller(envoy.url)
    client.client.is_server_live()
    assert client.infer() == ""
    envoy.stop()
    (line,) = [json.loads(text) for text in (envoy.folder / "access.log").read_text().splitlines()]
    assert line["method"] == "/inference.GRPCInferenceService/ModelInfer"
    assert line["grpc_status"] == "OK"
    assert line["pod"] in {pod.url for pod in pods}
    assert line["attempts"] == 1


def test_connections_above_the_limit_are_refused(pods: Any, proxy: Any, caller: Any) -> None:
    envoy = proxy({"envoy": {"limits": {"connections": 1}}})
    first = caller(envoy.url)
    assert first.infer() == ""
    assert caller(envoy.url).infer(timeout=3).startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))
    assert first.infer() == ""
    assert envoy.ready()  # who is asked how it is answers all the same
