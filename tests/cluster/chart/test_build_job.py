"""The Job that exports models and builds engines, and the pods that wait for it."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[3] / "helm/lipserve"

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


def test_it_is_a_plain_job_on_a_gpu_of_the_kind_that_serves(render: Render, server_pod: Find) -> None:
    made = job(render, A100)
    assert "annotations" not in made["metadata"]  # no hook: it holds no upgrade up
    assert made["metadata"]["labels"]["app.kubernetes.io/component"] == "engines"
    assert "ttlSecondsAfterFinished" not in made["spec"]
    assert made["spec"]["backoffLimit"] == 3
    assert made["spec"]["activeDeadlineSeconds"] == 14400
    spec = made["spec"]["template"]["spec"]
    assert spec["affinity"] == server_pod(A100)["affinity"]
    assert spec["tolerations"] == server_pod(A100)["tolerations"]  # the accelerator's
    assert spec["restartPolicy"] == "Never"  # or the last failure takes its log with it
    assert "initContainers" not in spec
    (engines,) = spec["containers"]
    assert engines["command"] == ["lipserve", "export", "engines", "--repository", "/models"]
    assert engines["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "readOnly" not in engines["volumeMounts"][0]


def test_preemption_and_emptied_nodes_take_no_try(render: Render) -> None:
    values = changed(store__export={"enabled": True})
    first, *rest = job(render, values)["spec"]["podFailurePolicy"]["rules"]
    condition = {"type": "DisruptionTarget", "status": "True"}
    assert first == {"action": "Ignore", "onPodConditions": [condition]}
    # A wrong argument (argparse's 2) is wrong at every try.
    codes = {rule["onExitCodes"]["containerName"]: rule["onExitCodes"]["values"] for rule in rest}
    assert codes == {"export": [2], "engines": [2]}
    assert {rule["action"] for rule in rest} == {"FailJob"}


def test_pods_wait_for_engines_with_the_gpu_that_they_are_for(render: Render, server_pod: Find) -> None:
    (wait,) = server_pod(A100)["initContainers"]
    assert wait["command"] == ["python3", "-m", "lipserve_server.pod.wait"]
    name = job(render, A100)["metadata"]["name"]
    assert wait["args"] == [
        "--repository=/models",
        "--profile=tensorrt",
        "--timeout=7200",
        f"--job={name}",
    ]
    assert wait["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} not in wait["env"]
    assert wait["volumeMounts"][0]["readOnly"] is True


def test_the_token_that_asks_for_the_job_is_the_wait_s_alone(render: Render, server_pod: Find) -> None:
    spec = server_pod(A100)
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "api"]
    paths = [next(iter(source)) for source in volume["projected"]["sources"]]
    assert paths == ["serviceAccountToken", "configMap", "downwardAPI"]
    holders = [
        container["name"]
        for container in [*spec["initContainers"], *spec["containers"]]
        if any(mount["name"] == "api" for mount in container["volumeMounts"])
    ]
    assert holders == ["wait-for-build"]
    assert spec["automountServiceAccountToken"] is False
    (role,) = [made for made in render(A100) if made["kind"] == "Role"]
    name = job(render, A100)["metadata"]["name"]
    assert role["rules"] == [
        {"apiGroups": ["batch"], "resources": ["jobs"], "resourceNames": [name], "verbs": ["get"]}
    ]


def test_without_the_watch_there_is_no_token_no_role_and_no_way_out(
    render: Render, server_pod: Find, made: Find
) -> None:
    policy = made("NetworkPolicy", "lipserve", A100)["spec"]["egress"]
    assert [port["port"] for port in policy[0]["ports"]] == [443, 6443]
    values = changed(engines__build__watch=False)
    assert made("NetworkPolicy", "lipserve", values)["spec"]["egress"] == []
    assert "api" not in [volume["name"] for volume in server_pod(values)["volumes"]]
    assert [one for one in render(values) if one["kind"] == "Role"] == []
    assert not any("--job" in argument for argument in server_pod(values)["initContainers"][0]["args"])


def named(render: Render, values: Object) -> tuple[str, str]:
    """Return the name of the Job, and what it builds."""
    metadata = job(render, values)["metadata"]
    return metadata["name"], metadata["labels"]["lipserve-build"]


@pytest.mark.parametrize(
    "changes",
    [
        {"accelerator__product": ["NVIDIA-H100-80GB-HBM3"]},
        {"accelerator__product": ["NVIDIA-Unheard-Of"]},
        {"accelerator__kind": "mig", "accelerator__migProfile": "3g.40gb"},
        {"engines__build__image": {"tag": "25.12-py3"}},
        {"engines__build__image": {"digest": f"sha256:{'0' * 64}"}},
        {"store__revision": "2"},
        {"engines__build__arguments": ["--leaves", "unet"]},
    ],
)
def test_another_gpu_exporter_or_revision_is_another_build(render: Render, changes: Object) -> None:
    first, second = named(render, A100), named(render, changed(**changes))
    assert first[0] != second[0]
    assert first[1] != second[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"engines__build__resources": {"limits": {"memory": "48Gi"}}},
        {"engines__build__tolerations": [{"operator": "Exists"}]},
        {"engines__build__podAnnotations": {"a": "b"}},
        {"accelerator__product": ["NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-SXM4-40GB"]},
        {"global": {"imageRegistry": "mirror.example.com"}},
        {"store__pvc": {"existingClaim": "other", "accessModes": ["ReadWriteMany"]}},
    ],
)
def test_what_a_job_cannot_change_makes_another_job_of_the_same_build(
    render: Render, changes: Object
) -> None:
    first, second = named(render, A100), named(render, changed(**changes))
    assert first[0] != second[0]
    assert first[1] == second[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 3},
        {"resources": {"limits": {"memory": "20Gi"}}},
        {"image": {"tag": "0.1.1"}},
        {"store__pvc__size": "40Gi"},
        {"commonLabels": {"team": "video"}},
        {"commonAnnotations": {"team": "video"}},
        {"podLabels": {"team": "video"}},
        {"podAnnotations": {"a": "b"}},
        {"tolerations": [{"operator": "Exists"}], "engines__build__tolerations": []},
        {"nodeSelector": {"pool": "gpu"}, "engines__build__nodeSelector": {}},
        {"affinity": {"podAntiAffinity": {}}, "engines__build__affinity": {}},
        {"rollout": {"paused": True}},
        {"engines__build__waitSeconds": 60},
        {"engines__build__backoffLimit": 9},
    ],
)
def test_what_no_engine_depends_on_leaves_the_job_alone(render: Render, changes: Object) -> None:
    first, second = job(render, A100), job(render, changed(**changes))
    assert first["metadata"]["name"] == second["metadata"]["name"]
    assert first["metadata"]["labels"]["lipserve-build"] == second["metadata"]["labels"]["lipserve-build"]
    assert first["spec"]["template"] == second["spec"]["template"]


def test_a_patch_release_of_the_chart_leaves_the_job_alone(render: Render, tmp_path: Path) -> None:
    from helm_python import Chart

    copy = tmp_path / "lipserve"
    shutil.copytree(CHART, copy)
    metadata = copy / "Chart.yaml"
    metadata.write_text(metadata.read_text().replace("0.1.0", "0.1.1"))
    with Chart.load(copy) as later:
        files = later.render(A100, name="lipserve", namespace="lipserve")
    text = files["lipserve/templates/build-job.yaml"]
    assert 'app.kubernetes.io/version: "0.1.1"' in text
    now, before = yaml.safe_load(text), job(render, A100)
    assert now["metadata"]["name"] == before["metadata"]["name"]
    assert now["spec"] == before["spec"]


def test_the_exporter_s_tag_is_that_of_the_base_of_both_images() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name in ("server", "export"):
        text = (CHART.parents[1] / f"docker/{name}.Dockerfile").read_text()
        assert f"ARG TRITON_TAG={values['engines']['build']['image']['tag']}\n" in text


@pytest.mark.parametrize(
    ("key", "given", "none"),
    [
        ("tolerations", [{"operator": "Exists"}], "[]"),
        ("nodeSelector", {"pool": "gpu"}, "{}"),
        ("affinity", {"podAntiAffinity": {}}, "{}"),
    ],
)
def test_a_job_that_might_find_no_node_is_refused(
    render_error: Callable[[Object], str], key: str, given: Any, none: str
) -> None:
    assert (
        f"engines.build.{key}: the Job has its own, so that a change of the pods' {key} starts no other; "
        f"give it, {none} for none"
    ) in render_error(A100 | {key: given})


@pytest.mark.parametrize(
    "values",
    [{}, {"profile": "tensorrt", "accelerator": {"kind": "gpu"}, "engines": {"build": {"enabled": False}}}],
)
def test_there_is_no_job_and_no_waiting_without_a_build(
    names: Names, server_pod: Find, values: Object
) -> None:
    assert names("Job", values) == []
    assert "initContainers" not in server_pod(values)


def test_what_needs_no_checkpoint_is_exported_before_engines_are_built(
    render: Render, server_pod: Find
) -> None:
    values = changed(store__export={"enabled": True, "arguments": ["--variant", "original"]})
    spec = job(render, values)["spec"]["template"]["spec"]
    (export,) = spec["initContainers"]
    (engines,) = spec["containers"]
    assert export["command"] == ["lipserve", "export", "all", "-o", "/models", "--variant", "original"]
    # The image's cache has what is downloaded elsewhere: the policy lets the Job reach nothing.
    assert {"name": "XDG_CACHE_HOME", "value": "/opt/lipserve/cache"} in export["env"]
    assert "nvidia.com/gpu" not in export["resources"]["limits"]
    assert engines["name"] == "engines"
    assert server_pod(values)["initContainers"][0]["args"][3:5] == ["--tier=lipwarp", "--tier=wav2lip"]


def test_a_cpu_release_exports_without_a_gpu(render: Render, server_pod: Find) -> None:
    values = {"store": {"export": {"enabled": True}}}
    spec = job(render, values)["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["containers"]] == ["export"]
    (wait,) = server_pod(values)["initContainers"]
    assert wait["name"] == "wait-for-build"
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in wait["env"]


def test_a_bucket_is_copied_before_and_written_after(render: Render, server_pod: Find) -> None:
    values = changed(store={"kind": "s3", "s3": {"bucket": "m", "workloadIdentity": True}})
    made = job(render, values)
    spec = made["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["initContainers"]] == ["copy-models", "engines"]
    (publish,) = spec["containers"]
    assert publish["command"][2].rstrip().endswith('/models "$STORE"')
    # The Job never calls a shared cache complete: engines are still to come.
    assert "LOOK" not in str(spec["initContainers"][0]["env"])
    tools, copy = server_pod(values)["initContainers"]
    assert tools["command"] == [
        "cp",
        "/usr/local/bin/rclone",
        "/etc/ssl/certs/ca-certificates.crt",
        "/tmp/",
    ]
    assert copy["command"] == ["python3", "-m", "lipserve_server.pod.wait"]
    assert copy["args"][2:4] == ["--timeout=7200", f"--job={made['metadata']['name']}"]
    assert copy["args"][4:7] == ["--", "sh", "-euc"]
    assert {"name": "SSL_CERT_FILE", "value": "/tmp/ca-certificates.crt"} in copy["env"]
    assert "readOnly" not in copy["volumeMounts"][0]


def test_a_bucket_without_a_job_is_looked_at_once(server_pod: Find) -> None:
    store = {"kind": "s3", "s3": {"bucket": "m", "workloadIdentity": True}}
    (_, copy) = server_pod({"store": store})["initContainers"]
    assert copy["args"][2] == "--timeout=0"


def test_the_build_takes_a_gpu_from_pods_that_wait_for_it(
    render: Render, made: Find, server_pod: Find
) -> None:
    values = A100 | {"priorityClass": {"create": True, "value": 500}}
    assert server_pod(values)["priorityClassName"] == "lipserve-lipserve-500"
    spec = job(render, values)["spec"]["template"]["spec"]
    assert spec["priorityClassName"] == "lipserve-lipserve-500-build"
    serving, building = (
        made("PriorityClass", f"lipserve-lipserve-500{end}", values) for end in ("", "-build")
    )
    assert (serving["value"], serving["preemptionPolicy"]) == (500, "Never")
    assert (building["value"], building["preemptionPolicy"]) == (501, "PreemptLowerPriority")


def test_by_default_nothing_is_taken_from_pods_of_others(made: Find) -> None:
    """A pod without a class has 0. Whoever preempts is below it, and above its own release's pods alone."""
    values = A100 | {"priorityClass": {"create": True}}
    serving, building = (
        made("PriorityClass", f"lipserve-lipserve-m2{end}", values) for end in ("", "-build")
    )
    assert serving["preemptionPolicy"] == "Never"
    assert serving["value"] < building["value"] < 0
    assert not serving["globalDefault"]
    assert not building["globalDefault"]


def test_another_priority_is_another_class(names: Any) -> None:
    """Kubernetes lets no class be changed: an upgrade that changed one would fail."""
    given = ({"value": -2}, {"value": 2}, {"value": 2, "preemptionPolicy": "PreemptLowerPriority"})
    made = [names("PriorityClass", A100 | {"priorityClass": {"create": True, **each}}) for each in given]
    assert [classes[0] for classes in made] == [
        "lipserve-lipserve-m2",
        "lipserve-lipserve-2",
        "lipserve-lipserve-2-preempts",
    ]
    assert len({name for classes in made for name in classes}) == 6


def test_a_job_that_needs_no_gpu_names_no_class_that_is_not_made(render: Render, names: Any) -> None:
    values = {"store": {"export": {"enabled": True}}, "priorityClass": {"create": True}}
    assert "priorityClassName" not in job(render, values)["spec"]["template"]["spec"]
    assert names("PriorityClass", values) == ["lipserve-lipserve-m2"]


def test_a_finished_job_is_removed_only_when_asked(render: Render) -> None:
    assert (
        job(render, changed(engines__build__ttlSecondsAfterFinished=0))["spec"]["ttlSecondsAfterFinished"]
        == 0
    )
