"""How many cores a server may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipserve.errors import EngineError
from lipserve_server.launcher import cores as module
from lipserve_server.launcher.cores import cores, cores_at_work

FOUR = {0, 1, 2, 3}


@pytest.fixture(autouse=True)
def _four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: FOUR)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "900000 100000\n"}, 4),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "what is this\n"}, 4),
    ],
)
def test_a_containers_limit_counts(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores(tmp_path) == expected


def test_models_share_the_cores_where_no_leaf_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cores", lambda: 4)
    monkeypatch.setattr(module, "compute_capabilities", list)
    assert [cores_at_work(profile) for profile in ("embedded", "onnx", "tensorrt")] == [4, 4, None]
    monkeypatch.setattr(module, "compute_capabilities", lambda: ["sm90"])
    assert [cores_at_work(profile) for profile in ("embedded", "onnx")] == [4, None]

    def broken() -> list[str]:
        raise EngineError("The driver does not work.", "")

    monkeypatch.setattr(module, "compute_capabilities", broken)
    assert cores_at_work("onnx") is None
