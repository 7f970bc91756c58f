"""What the Dockerfiles say: bases, users, ports, what is copied. `test_images` executes them."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

from tests.cluster.docker.chroot import CHECKOUT
from tests.cluster.docker.dockerfile import Stage, expand, read, requirements

FILES = {name: CHECKOUT / f"docker/{name}.Dockerfile" for name in ("server", "export", "dev", "jobs")}
DIGEST = "sha256:" + "0" * 64
SERVING = ["server", "dev"]
PINNED = [*SERVING, "jobs"]


def stages(name: str) -> list[Stage]:
    return read(FILES[name])[1]


def copied(name: str) -> set[str]:
    """Return what comes from the checkout."""
    steps = [step for stage in stages(name) for step in stage.instructions if step.name == "COPY"]
    return {word for step in steps if "from" not in step.flags for word in step.words[:-1]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:${TAG}", "a:1"),
        ("a${DIGEST:+@${DIGEST}}", "a"),
        ("a${TAG:+@${TAG}}", "a@1"),
        ("${DIGEST:-b}$TAG", "b1"),
    ],
)
def test_variables_are_replaced_as_docker_does(text: str, expected: str) -> None:
    assert expand(text, {"TAG": "1", "DIGEST": ""}) == expected


@pytest.mark.parametrize("name", FILES)
def test_every_base_can_be_pinned_by_its_digest(name: str) -> None:
    arguments, _ = read(FILES[name])
    tag, digest = list(arguments)
    assert digest.endswith("_DIGEST")
    assert arguments[digest] == ""
    froms = [line for line in FILES[name].read_text().splitlines() if line.startswith("FROM ")]
    image, *others = [expand(line, {**arguments, digest: DIGEST}).split()[1] for line in froms]
    assert image.endswith(f":{arguments[tag]}@{DIGEST}")
    assert set(others) == {"python" if name in ("dev", "jobs") else "triton"}


def test_plans_are_built_on_the_base_that_loads_them() -> None:
    assert read(FILES["export"])[0] == read(FILES["server"])[0]
    assert stages("export")[0].base == stages("server")[0].base
    compose = yaml.safe_load((CHECKOUT / "docker/compose.yaml").read_text())["services"]
    for service in ("server", "export"):
        tag = compose[service]["build"]["args"]["TRITON_TAG"]
        assert tag == f"${{TRITON_TAG:-{read(FILES[service])[0]['TRITON_TAG']}}}"


@pytest.mark.parametrize("name", FILES)
def test_an_image_runs_as_the_charts_user_and_has_its_labels(name: str) -> None:
    last = stages(name)[-1]
    values = yaml.safe_load((CHECKOUT / "helm/lipserve/values.yaml").read_text())["podSecurityContext"]
    assert last.last("USER").value == f"{values['runAsUser']}:{values['runAsGroup']}" == "1000:1000"
    label = last.last("LABEL").value
    for part in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{part}=" in label
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    assert f"VERSION={version}" in [step.value for step in last.instructions if step.name == "ARG"]


@pytest.mark.parametrize("name", [name for name in FILES if name != "jobs"])  # it has no ONNX Runtime
def test_an_image_sends_no_telemetry(name: str) -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in stages(name)[-1].last("ENV").words


@pytest.mark.parametrize("name", FILES)
def test_nothing_of_the_bases_python_is_imported(name: str) -> None:
    """By pip neither: the first stage, which all others are made of, clears it."""
    first, *others = stages(name)
    assert {"PYTHONPATH=", "PYTHONHOME=", "PYTHONSTARTUP="} <= set(first.last("ENV").words)
    assert {stage.base for stage in others} == {first.name}


@pytest.mark.parametrize("name", PINNED)
def test_every_wheel_of_an_image_has_its_digest_and_the_constraints_version(name: str) -> None:
    run = [step.value for stage in stages(name) for step in stage.instructions if step.name == "RUN"]
    (installs,) = [value for value in run if "install --no-cache-dir" in value]
    assert f"--require-hashes -r docker/requirements/{name}.txt" in " ".join(installs.split())
    lines = (CHECKOUT / "docker/constraints.txt").read_text().splitlines()
    pinned = {tuple(line.split("==")) for line in lines if not line.startswith("#")}
    found = requirements(name)
    assert len(found) > 20
    assert set(found) <= pinned
    for hashes in found.values():
        assert hashes
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes)


@pytest.mark.parametrize("name", FILES)
def test_an_image_has_the_command_that_it_begins_with(name: str) -> None:
    assert stages(name)[-1].last("ENTRYPOINT").words[0] == "lipserve"
    packages = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    (folder,) = (path for path in packages["wheel"]["packages"] if path.endswith("/lipserve_cli"))
    assert folder.partition("/")[0] in copied(name)


@pytest.mark.parametrize("name", SERVING)
def test_a_server_has_the_pods_ports_and_no_weights(name: str) -> None:
    last = stages(name)[-1]
    assert last.last("EXPOSE").words == ["8001", "8002", "8080"]
    assert "8080/readyz" in last.last("HEALTHCHECK").value
    assert last.last("ENTRYPOINT").words == ["lipserve", "pod"]
    assert copied(name) & {"weights", "export"} == set()


def test_jobs_have_no_triton_and_the_ports_of_the_chart() -> None:
    last = stages("jobs")[-1]
    assert copied("jobs") & {"weights", "export", "server", "model_repository"} == set()
    assert {name for name, _ in requirements("jobs")} & {"nvidia-pytriton", "onnxruntime", "torch"} == set()
    assert last.last("ENTRYPOINT").words == ["lipserve", "jobs"]
    template = (CHECKOUT / "helm/lipserve/templates/jobs/gateway.yaml").read_text()
    assert re.findall(r"containerPort: (\d+)", template) == last.last("EXPOSE").words
    values = yaml.safe_load((CHECKOUT / "helm/lipserve/values.yaml").read_text())["jobs"]
    assert values["image"]["repository"] == "lipserve-jobs"


def test_only_what_images_need_is_sent_to_a_build() -> None:
    lines = (CHECKOUT / ".dockerignore").read_text().split("\n")
    ignored, *sent = [line for line in lines if line and not line.startswith(("#", "**"))]
    assert ignored == "*"
    assert {line.removeprefix("!") for line in sent} == set.union(*map(copied, FILES))
    for path in set.union(*map(copied, FILES)):
        assert (CHECKOUT / path).exists()
