"""The compose file of one GPU machine: hardened, and of one mind with the images and the chart."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve_cli.main import parser
from tests.cluster.docker.chroot import CHECKOUT
from tests.cluster.docker.dockerfile import expand, read

FOLDER = CHECKOUT / "docker"
FILE = FOLDER / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SERVER = SERVICES["server"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_hardened_and_on_loopback(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "docker.sock" not in str(service)
    assert ":latest" not in str(service.get("image"))


def test_the_server_gets_the_time_to_drain_that_a_pod_gets(render: Callable[..., list[Any]]) -> None:
    values = yaml.safe_load((CHECKOUT / "helm/lipserve/ci/cpu-values.yaml").read_text())
    values.pop("lifecycle", None)
    (deployment,) = [
        made
        for made in render(values)
        if made["kind"] == "Deployment"
        and made["metadata"]["labels"]["app.kubernetes.io/component"] == "server"
    ]
    spec = deployment["spec"]["template"]["spec"]
    (container,) = [found for found in spec["containers"] if found["name"] == "triton"]
    (exit_timeout,) = [word for word in container["args"] if word.startswith("--exit-timeout=")]
    assert exit_timeout in SERVER["command"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]  # for balancers, which are not here
    assert SERVER["stop_grace_period"] == f"{spec['terminationGracePeriodSeconds'] - pause}s"


def test_the_server_is_told_what_it_understands() -> None:
    options = parser(["pod"]).parse_args(["pod", *(expand(word, {}) for word in SERVER["command"])])
    assert options.profile == "tensorrt"
    (models,) = SERVER["volumes"]
    assert models["target"] == str(options.repository)
    assert models["read_only"] is True
    user = read(FOLDER / "server.Dockerfile")[1][-1].last("USER").value.split(":")
    (work,) = [mount for mount in SERVER["tmpfs"] if mount.startswith(f"{options.work}:")]
    assert f"uid={user[0]},gid={user[1]}" in work
    assert any(mount.startswith("/tmp:") for mount in SERVER["tmpfs"])
    assert SERVER["shm_size"] == "2gb"


def test_the_exporter_writes_where_the_server_reads_and_is_not_started_with_it() -> None:
    exporter = SERVICES["export"]
    assert exporter["profiles"] == ["build"]
    (models,) = exporter["volumes"]
    (served,) = SERVER["volumes"]
    assert models["source"] == served["source"]
    assert models["target"] == served["target"]
    assert "read_only" not in models
    assert exporter["deploy"] == SERVER["deploy"]


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_mounted_files_exist(name: str) -> None:
    binds = [mount for mount in SERVICES[name]["volumes"] if isinstance(mount, dict)]
    assert binds
    for mount in binds:
        assert mount["read_only"] is True
        assert (FOLDER / mount["source"]).exists(), mount["source"]


def test_prometheus_reads_both_ports_under_one_job_and_the_charts_rules() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (group,) = job["static_configs"]
    exposed = read(FOLDER / "server.Dockerfile")[1][-1].last("EXPOSE").words
    assert {target.partition(":")[2] for target in group["targets"]} == set(exposed) - {"8001"}
    assert {target.partition(":")[0] for target in group["targets"]} == {"server"}
    assert set(group["labels"]) == {"namespace", "pod"}  # what the rules' series are grouped and joined by
    (rules,) = config["rule_files"]
    assert str(Path(rules).parent) in [mount["target"] for mount in SERVICES["prometheus"]["volumes"][:2]]


def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    config = (FOLDER / "prometheus.yml").read_text()
    rules = CHECKOUT / "helm/lipserve/files/rules"
    (tmp_path / "prometheus.yml").write_text(config.replace("/etc/prometheus/rules", str(rules)))
    line = [promtool, "check", "config", tmp_path / "prometheus.yml"]
    said = subprocess.run(line, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert len(re.findall(r"SUCCESS: \d+ rules found", said.stdout)) == len(list(rules.glob("*.yaml")))


def test_grafana_lets_nobody_in_without_a_password_that_was_chosen() -> None:
    grafana = SERVICES["grafana"]["environment"]
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert grafana["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert grafana["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")
    (source,) = yaml.safe_load((FOLDER / "grafana/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == f"http://prometheus:{SERVICES['prometheus']['ports'][0].rpartition(':')[2]}"
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards/lipserve.yaml").read_text())["providers"]
    assert provider["options"]["path"] in [mount["target"] for mount in SERVICES["grafana"]["volumes"][:2]]
