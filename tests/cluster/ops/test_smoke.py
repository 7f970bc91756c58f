"""`lipserve ops smoke`: the real clip through a port-forward to a real pod."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cluster.ops.conftest import Operate
from tests.cluster.ops.stand_in import Object
from tests.support.servers import PodProgram

pytestmark = pytest.mark.serve

AddPod = Callable[..., Object]
NOT_READY = [{"type": "Ready", "status": "False"}]


def test_the_clip_goes_through_a_ready_pod(add_pod: AddPod, serving: PodProgram, operate: Operate) -> None:
    add_pod("lipserve-a", conditions=NOT_READY)
    add_pod("lipserve-b", serving)
    code, out, _ = operate("smoke")
    assert code == 0
    name, *rows = out.splitlines()
    assert name == "lipserve-b"
    checks = ("served", "frames", "sound", "faces", "mouth", "rest")
    assert [row.split()[:2] for row in rows] == [[check, "ok"] for check in checks]


def test_envoy_comes_first_and_a_pod_may_be_named(
    add_pod: AddPod, serving: PodProgram, operate: Operate
) -> None:
    add_pod("envoy", serving)["metadata"]["labels"]["app.kubernetes.io/component"] = "envoy"
    add_pod("lipserve-a", serving)
    assert json.loads(operate("smoke", "--json")[1])["pod"] == "envoy"
    assert json.loads(operate("smoke", "--pod", "lipserve-a", "--json")[1])["pod"] == "lipserve-a"


def test_nothing_behind_the_port(add_pod: AddPod, operate: Operate) -> None:
    add_pod("lipserve-a")
    code, _, err = operate("smoke", "--timeout", "3")
    assert code == 4
    assert err.startswith("error: ")


def test_no_ready_pod_and_a_bad_header(add_pod: AddPod, operate: Operate) -> None:
    add_pod("lipserve-a", conditions=NOT_READY)
    code, _, err = operate("smoke")
    assert (code, "No pod of lipserve is ready" in err) == (5, True)
    code, _, err = operate("smoke", "--header", "x-api-key")
    assert (code, "form NAME=VALUE" in err) == (2, True)
