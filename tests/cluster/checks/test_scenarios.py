"""Releases as people run them, on every Kubernetes that they can run on: valid, strictly, and sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.checks.test_schemas import VERSIONS
from tests.cluster.invariants import broken, containers, pods
from tests.cluster.scenarios import Scenario, load

SCENARIOS = load()
Object = dict[str, Any]
Render = Callable[..., list[Object]]


def test_there_are_forty_and_every_part_is_of_one() -> None:
    assert len(SCENARIOS) >= 40
    told = yaml.safe_load((Path(__file__).parents[1] / "scenarios.yaml").read_text())
    used = {part for parts in told["cases"].values() for part in parts if isinstance(part, str)}
    assert used == set(told["parts"])
    assert set(told["since"]) <= used


@pytest.mark.parametrize(
    "which",
    [slice(1), slice(-1, None), pytest.param(slice(1, -1), marks=pytest.mark.whole)],
    ids=["the oldest", "the newest", "all between"],
)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_release_is_valid_and_keeps_every_invariant(
    scenario: Scenario, which: slice, render: Render, validate: Callable[[Object, str], None]
) -> None:
    versions = [version for version in VERSIONS if scenario.runs_on(version)]
    assert versions[-1] == VERSIONS[-1]
    for version in versions[which]:
        objects = render(scenario.values, kube_version=version)
        for made in objects:
            validate(made, version)
        assert broken(objects, scenario.values, "lipserve") == []


@pytest.mark.parametrize(
    "scenario",
    [one for one in SCENARIOS if one.since > (1, 29)],
    ids=lambda scenario: scenario.name,
)
def test_what_is_newer_is_refused_where_it_is_not(scenario: Scenario, render: Render) -> None:
    from helm_python.errors import HelmError

    with pytest.raises(HelmError, match=r"of Kubernetes 1\.34|from Kubernetes 1\.33"):
        render(scenario.values, kube_version=VERSIONS[0])


def of(name: str) -> Object:
    (found,) = [scenario.values for scenario in SCENARIOS if scenario.name == name]
    return found


@pytest.mark.parametrize("name", [one.name for one in SCENARIOS if "air-gap" in one.name])
def test_what_has_no_way_out_pulls_from_its_mirror_alone(name: str, render: Render) -> None:
    objects = render(of(name))
    for owner, _, spec in pods(objects):
        for container in containers(spec):
            assert container["image"].startswith("mirror.example.com/lipserve/"), owner
    for made in objects:
        if made["kind"] == "NetworkPolicy":
            assert "0.0.0.0/0" not in str(made["spec"]["egress"]) or "login" in str(of(name))


def test_openshift_gives_users_and_answers_dns_at_another_port(render: Render) -> None:
    for name in ("cpu-openshift", "openshift-a100", "openshift-mig", "openshift-mutual-tls", "dra-openshift"):
        for owner, _, spec in pods(render(of(name))):
            assert not {"runAsUser", "runAsGroup", "fsGroup"} & spec["securityContext"].keys(), owner


def test_two_releases_in_a_namespace_share_no_object(render: Render) -> None:
    both = [
        {(made["kind"], made["metadata"]["name"]) for made in render(of(f"two-releases-{which}"))}
        for which in ("fast", "quality")
    ]
    assert both[0] & both[1] == set()


def test_every_front_that_faces_a_network_knows_who_calls(render: Render) -> None:
    for scenario in SCENARIOS:
        kinds = {
            made["kind"]
            for made in render(scenario.values)
            if made["kind"] in ("Ingress", "GRPCRoute")
            or (made["kind"] == "Service" and made["spec"]["type"] != "ClusterIP")
        }
        front = scenario.values.get("envoy", {}).get("auth", {})
        mutual = scenario.values.get("tls", {}).get("clients", {}).get("required")
        assert not kinds or front.get("mode") or front.get("anonymous") or mutual, scenario.name
