from __future__ import annotations

from collections import Counter
from pathlib import Path

from lipserve.engine_store import EngineKey
from lipserve.metrics_page import read_samples
from lipserve_server.launcher.guard.clients import Usage
from lipserve_server.pod.page import Status, page

KEY = EngineKey.of("sm80", "tensorrt", "10.9.0", ["a" * 64])


def _status(**changed: object) -> Status:
    known: dict[str, object] = {
        "ready": True,
        "draining": False,
        "oldest": 0.25,
        "pending": 3,
        "start_seconds": 12.5,
        "models": ["a", "b"],
        "lost": {"b": 4.0},
        "restarts": {"b": 2},
        "profile": "tensorrt",
        "engines": [KEY],
        "refusals": {"server_full": 7},
        "usage": {"dubbing": Usage(Counter(ok=2, server_full=1), 50, 2.0, 1.5)},
        "refused": "",
        "expiries": {Path('/tls/a"}b\\c'): 1.8e9},
        "storage": [Path("/"), Path("/absent")],
    }
    return Status(**(known | changed))  # type: ignore[arg-type]


def test_every_metric_stands_on_the_page() -> None:
    found = {(sample.name, *sample.labels.values()): sample.value for sample in read_samples(page(_status()))}
    free, size = (
        found.pop(("lipserve_storage_free_bytes", "/")),
        found.pop(("lipserve_storage_size_bytes", "/")),
    )
    assert 0 < free <= size
    assert found == {
        ("lipserve_oldest_pending_seconds",): 0.25,
        ("lipserve_pending_segments",): 3.0,
        ("lipserve_refused_requests_total", "server_full"): 7.0,
        ("lipserve_client_requests_total", "dubbing", "ok"): 2.0,
        ("lipserve_client_requests_total", "dubbing", "server_full"): 1.0,
        ("lipserve_client_frames_total", "dubbing"): 50.0,
        ("lipserve_client_video_seconds_total", "dubbing"): 2.0,
        ("lipserve_client_stage_seconds_total", "dubbing"): 1.5,
        ("lipserve_draining",): 0.0,
        ("lipserve_ready",): 1.0,
        ("lipserve_start_seconds",): 12.5,
        ("lipserve_certificate_expiry_timestamp_seconds", '/tls/a"}b\\c'): 1.8e9,
        ("lipserve_model_restarts_total", "a"): 0.0,
        ("lipserve_model_restarts_total", "b"): 2.0,
        ("lipserve_model_healthy", "a"): 1.0,
        ("lipserve_model_healthy", "b"): 0.0,
        ("lipserve_engine_info", "sm80", str(KEY), "tensorrt", "10.9.0"): 1.0,
    }


def test_the_text_is_prometheus_own() -> None:
    text = page(_status(refused="engine", start_seconds=None, lost={}))
    assert (
        "# HELP lipserve_refused_requests_total Requests that were refused in front of Triton, and why.\n"
        "# TYPE lipserve_refused_requests_total counter\n"
        'lipserve_refused_requests_total{code="server_full"} 7.0\n'
    ) in text
    assert 'lipserve_setup_error{reason="engine"} 1.0\n' in text
    assert 'lipserve_certificate_expiry_timestamp_seconds{file="/tls/a\\"}b\\\\c"} 1.8e+09\n' in text
    # Not ready yet: described, and without a value.
    assert "# TYPE lipserve_start_seconds gauge\n" in text
    assert "lipserve_start_seconds 1" not in text
    assert text.endswith("\n")
