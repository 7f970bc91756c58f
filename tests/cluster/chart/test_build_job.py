"""The Job that exports models and builds engines, and the pods that wait for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

Object = dict[str, Any]
Find = Callable[..., Object]
Names = Callable[..., list[str]]
Render = Callable[..., list[Object]]

A100: Object = {
    "profile": "tensorrt",
    "accelerator": {"kind": "gpu", "product": ["NVIDIA-A100-SXM4-80GB"]},
    "store": {"pvc": {"accessModes": ["ReadWriteMany"]}},
}


def job(render: Render, values: Object) -> Object:
    (found,) = [made for made in render(values) if made["kind"] == "Job"]
    return found


def changed(**changes: Any) -> Object:
    values = copy.deepcopy(A100)
    for path, value in changes.items():
        *folders, name = path.split("__")
        target = values
        for folder in folders:
            target = target.setdefault(folder, {})
        target[name] = value
    return values


def test_it_is_a_plain_job_on_a_gpu_of_the_kind_that_serves(render: Render, server: Find) -> None:
    made = job(render, A100)
    assert "annotations" not in made["metadata"]  # no hook: it holds no upgrade up
    assert made["metadata"]["labels"]["app.kubernetes.io/component"] == "engines"
    assert "ttlSecondsAfterFinished" not in made["spec"]
    assert made["spec"]["backoffLimit"] == 3
    assert made["spec"]["activeDeadlineSeconds"] == 14400
    spec = made["spec"]["template"]["spec"]
    assert spec["affinity"] == server(A100)["affinity"]
    assert spec["restartPolicy"] == "Never"  # or the last failure takes its log with it
    (engines,) = spec["initContainers"]
    assert engines["command"] == ["lipserve", "export", "engines", "--repository", "/models"]
    assert engines["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "readOnly" not in engines["volumeMounts"][0]


def test_the_mark_comes_last_and_pods_wait_for_the_same_one(render: Render, server: Find) -> None:
    made = job(render, A100)
    mark = made["metadata"]["labels"]["lipserve-build"]
    (publish,) = made["spec"]["template"]["spec"]["containers"]
    assert publish["command"] == ["sh", "-euc", f"mkdir -p /models/.built && touch /models/.built/{mark}"]
    assert "nvidia.com/gpu" not in publish["resources"]["limits"]
    (wait,) = server(A100)["initContainers"]
    assert {"name": "BUILD", "value": mark} in wait["env"]
    assert {"name": "WAIT_SECONDS", "value": "7200"} in wait["env"]
    assert wait["volumeMounts"][0]["readOnly"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"accelerator__product": ["NVIDIA-A100-SXM4-40GB"]},
        {"accelerator__kind": "mig", "accelerator__migProfile": "3g.40gb"},
        {"engines__build__image": {"tag": "25.12"}},
        {"store__revision": "2"},
        {"engines__build__arguments": ["--leaves", "unet"]},
    ],
)
def test_another_gpu_image_or_revision_is_another_build(render: Render, changes: Object) -> None:
    first, second = job(render, A100), job(render, changed(**changes))
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["metadata"]["labels"]["lipserve-build"] != second["metadata"]["labels"]["lipserve-build"]


@pytest.mark.parametrize(
    "changes",
    [
        {"engines__build__resources": {"limits": {"memory": "48Gi"}}},
        {"tolerations": [{"operator": "Exists"}]},
        {"podAnnotations": {"a": "b"}},
    ],
)
def test_what_a_job_cannot_change_makes_another_job_of_the_same_build(
    render: Render, changes: Object
) -> None:
    first, second = job(render, A100), job(render, changed(**changes))
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["metadata"]["labels"]["lipserve-build"] == second["metadata"]["labels"]["lipserve-build"]


@pytest.mark.parametrize(
    "changes", [{"replicas": 3}, {"resources": {"limits": {"memory": "9Gi"}}}, {"image": {"tag": "x"}}]
)
def test_what_does_not_concern_it_leaves_the_job_alone(render: Render, changes: Object) -> None:
    assert job(render, A100) == job(render, A100 | changes)


@pytest.mark.parametrize(
    "values",
    [{}, {"profile": "tensorrt", "accelerator": {"kind": "gpu"}, "engines": {"build": {"enabled": False}}}],
)
def test_there_is_no_job_and_no_waiting_without_a_build(names: Names, server: Find, values: Object) -> None:
    assert names("Job", values) == []
    assert "initContainers" not in server(values)


def test_what_needs_no_checkpoint_is_exported_before_engines_are_built(render: Render) -> None:
    values = changed(store__export={"enabled": True, "arguments": ["--variant", "original"]})
    export, engines = job(render, values)["spec"]["template"]["spec"]["initContainers"]
    assert export["command"] == ["lipserve", "export", "all", "-o", "/models", "--variant", "original"]
    # The image's cache has what is downloaded elsewhere: the policy lets the Job reach nothing.
    assert {"name": "XDG_CACHE_HOME", "value": "/opt/lipserve/cache"} in export["env"]
    assert "nvidia.com/gpu" not in export["resources"]["limits"]
    assert engines["name"] == "engines"


def test_a_cpu_release_exports_without_a_gpu(render: Render, server: Find) -> None:
    values = {"store": {"export": {"enabled": True}}}
    spec = job(render, values)["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["initContainers"]] == ["export"]
    assert [container["name"] for container in server(values)["initContainers"]] == ["wait-for-build"]


def test_a_bucket_is_copied_before_and_written_after(render: Render, server: Find) -> None:
    values = changed(store={"kind": "s3", "s3": {"bucket": "m", "workloadIdentity": True}})
    made = job(render, values)
    spec = made["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["initContainers"]] == ["copy-models", "engines"]
    (publish,) = spec["containers"]
    assert publish["command"][2].rstrip().endswith('rclone rcat "$STORE/.built/$BUILD"')
    mark = made["metadata"]["labels"]["lipserve-build"]
    # It waits for nobody, and does not call a shared cache complete that has no engines yet.
    for name in ("BUILD", "REVISION"):
        assert {"name": name, "value": ""} in spec["initContainers"][0]["env"]
    assert {"name": "BUILD", "value": mark} in publish["env"]
    assert {"name": "BUILD", "value": mark} in server(values)["initContainers"][0]["env"]


def test_the_build_takes_a_gpu_from_pods_that_wait_for_it(render: Render, made: Find, server: Find) -> None:
    values = A100 | {"priorityClass": {"create": True, "value": 500}}
    assert server(values)["priorityClassName"] == "lipserve-lipserve"
    assert job(render, values)["spec"]["template"]["spec"]["priorityClassName"] == "lipserve-lipserve-build"
    assert made("PriorityClass", "lipserve-lipserve", values)["value"] == 500
    assert made("PriorityClass", "lipserve-lipserve-build", values)["value"] == 501


def test_a_job_that_needs_no_gpu_names_no_class_that_is_not_made(render: Render, names: Any) -> None:
    values = {"store": {"export": {"enabled": True}}, "priorityClass": {"create": True}}
    assert "priorityClassName" not in job(render, values)["spec"]["template"]["spec"]
    assert names("PriorityClass", values) == ["lipserve-lipserve"]


def test_a_finished_job_is_removed_only_when_asked(render: Render) -> None:
    assert (
        job(render, changed(engines__build__ttlSecondsAfterFinished=0))["spec"]["ttlSecondsAfterFinished"]
        == 0
    )
