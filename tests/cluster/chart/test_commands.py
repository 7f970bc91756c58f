"""The command lines of containers are ones that the programs take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve_cli.main import parser
from lipserve_server.inside.limits import Limits

FILES = [
    path
    for folder in ("helm/lipserve/ci", "docs/examples")
    for path in sorted((Path(__file__).resolve().parents[3] / folder).glob("*-values.yaml"))
]
Object = dict[str, Any]
Render = Callable[..., list[Object]]


def lines(objects: list[Object]) -> Iterator[list[str]]:
    for made in objects:
        spec = made.get("spec", {})
        pod_spec = spec if made["kind"] == "Pod" else spec.get("template", {}).get("spec", {})
        for container in pod_spec.get("initContainers", []) + pod_spec.get("containers", []):
            yield [*container.get("command", []), *container.get("args", [])]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_line_is_understood(render: Render, path: Path) -> None:
    commands = []
    for program, *arguments in filter(None, lines(render(yaml.safe_load(path.read_text())))):
        if program == "lipserve":
            parser(arguments).parse_args(arguments)  # ends with SystemExit where it is not
            commands.append(arguments[0])
    assert "pod" in commands


def test_the_pod_gets_the_values_that_it_is_told(render: Render) -> None:
    values = {
        "lifecycle": {"longestSegmentSeconds": 43_195},
        "probes": {"startup": {"seconds": 86_400}},
        "tracing": {"url": "http://otel.tracing.svc:4318/v1/traces"},
        "networkPolicy": {"traces": {"to": [{"namespaceSelector": {}}]}},
        "requestLimits": {"pixels": 2_073_600, "preset": "medium", "crf": 12, "resultMib": 64, "waiting": 0},
    }
    (line,) = [line for line in lines(render(values)) if line[:2] == ["lipserve", "pod"]]
    options = parser(line[1:]).parse_args(line[1:])
    assert (options.repository, options.work) == (Path("/models"), Path("/run/lipserve"))
    assert (options.profile, options.shared_memory, options.deletion_cost) == ("onnx", "closed", False)
    assert (options.grpc_port, options.metrics_port, options.health_port) == (8001, 8002, 8080)
    # The longest times that the values take are the longest that the pod takes.
    assert options.exit_timeout == 86_400
    assert options.ready_timeout == 86_400
    limits = Limits.of(options.limit)
    assert (limits.pixels, limits.preset, limits.crf, limits.result_mib) == (2_073_600, "medium", 12, 64)
    assert (limits.waiting, limits.message_mib) == (0, Limits().message_mib)
    assert options.trace_to == "http://otel.tracing.svc:4318/v1/traces"
