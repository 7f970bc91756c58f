"""The Dockerfiles' own steps, executed without an engine: what they install works on a read-only root."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.docker.chroot import CHECKOUT, Builder, Image, enter, needs_overlays, running
from tests.cluster.docker.dockerfile import requirements
from tests.support.waiting import until

pytestmark = [pytest.mark.whole, pytest.mark.timeout(600)]


IMPORTS = """
import importlib, pkgutil, sys
import lipserve_server.pod.command, lipserve_server.inside.stages
for module in pkgutil.iter_modules(lipserve_server.inside.stages.__path__, "lipserve_server.inside.stages."):
    importlib.import_module(module.name)
print(sys.version_info[:2], sys.prefix, "pytriton" in sys.modules, "onnxruntime" in sys.modules)
"""
NUMPY = "import numpy; print(numpy.__version__, numpy.__file__)"

# As NVIDIA's image has it: DALI's packages, with a NumPy of their own that pip takes for an installed one.
DALI = "/opt/tritonserver/backends/dali/wheel/dali"
NGC = {"PYTHONPATH": f"{DALI}:"}
PACKAGES = {
    f"{DALI[1:]}/numpy/__init__.py": "raise ImportError('of the base')",
    f"{DALI[1:]}/numpy-1.26.4.dist-info/METADATA": "Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n",
    f"{DALI[1:]}/numpy-1.26.4.dist-info/RECORD": "",
    f"{DALI[1:]}/numpy-1.26.4.dist-info/INSTALLER": "pip\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where images are built: hundreds of megabytes each, that no later session looks at."""
    needs_overlays(tmp_path)
    yield tmp_path
    shutil.rmtree(tmp_path)


def required(name: str) -> set[str]:
    """Return name and version of every package that an image's requirements name."""
    return {f"{package} {version}" for package, version in requirements(name)}


def installed(image: Image) -> set[str]:
    """Return name and version of every package in the image's environment."""
    folder = image.layer / "opt/lipserve/lib"
    found = [
        path.name.removesuffix(".dist-info") for path in folder.glob("python*/site-packages/*.dist-info")
    ]
    names = [name.rpartition("-")[::2] for name in found]
    return {f"{name.lower().replace('_', '-').replace('.', '-')} {version}" for name, version in names}


def inside(image: Image, *command: str) -> str:
    done = subprocess.run(enter(image, command, {}), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_development_image_serves_a_clip_on_a_read_only_root(folder: Path) -> None:
    """From its own steps to a lip-synced clip, and a drained end, as Docker and a pod would run it."""
    store = CHECKOUT / "build/model_repository"
    image = Builder(folder, "3.11").build(CHECKOUT / "docker/dev.Dockerfile")
    assert installed(image) - {"lipserve 0.1.0"} == required("dev")
    mounts = [
        f"mount --bind -o ro {store} $ROOT/models",
        "mount -t tmpfs -o uid=1000,gid=1000,mode=0750 tmpfs $ROOT/run/lipserve",
        "mount -t tmpfs -o size=512m tmpfs $ROOT/dev/shm",
    ]
    assert image.stage is not None
    health = json.loads(image.stage.last("HEALTHCHECK").value.partition("CMD ")[2])
    with running(image, mounts) as container:
        until(
            lambda: container.process.poll() is not None or not container.run(*health).returncode, seconds=180
        )
        refused = container.run("sh", "-c", "touch /opt/lipserve/x; touch /usr/x; touch /models/x; id -u")
        assert refused.stderr.count("Read-only file system") == 3
        assert refused.stdout.strip() == "1000"
        smoke = container.run("lipserve", "smoke", "--url", "127.0.0.1:8001")
        assert smoke.returncode == 0, smoke.stdout + smoke.stderr
        code, told = container.stop()
        assert code == 0, told


def test_the_image_of_jobs_runs_its_programs_without_a_triton(folder: Path) -> None:
    image = Builder(folder, "3.11").build(CHECKOUT / "docker/jobs.Dockerfile")
    assert installed(image) - {"lipserve 0.1.0"} == required("jobs")
    for program in ("gateway", "worker"):
        assert "LIPSERVE_JOBS_NATS" in inside(image, "lipserve", "jobs", program, "--help")
    assert "nats-server: v2.15.1" in inside(image, "nats-server", "--version")
    assert (image.layer / "opt/lipserve/lib").is_dir()
    packages = {path.name for path in image.layer.glob("opt/lipserve/lib/python*/site-packages/*")}
    assert packages >= {"lipserve", "lipserve_client", "lipserve_cli", "lipserve_jobs"}
    assert packages & {"pytriton", "onnxruntime", "torch", "lipserve_server", "lipserve_export"} == set()


def test_the_server_image_has_what_its_stages_need_and_no_weights(folder: Path) -> None:
    """On NGC's version of Python; Triton itself is the base's, and not here."""
    builder = Builder(folder, "3.12", {"PIP_NO_COMPILE": "1"}, NGC, PACKAGES)
    image = builder.build(CHECKOUT / "docker/server.Dockerfile")
    assert installed(image) - {"lipserve 0.1.0"} == required("server")
    version, file = inside(image, "python3", "-c", NUMPY).split()
    assert (version, file.rpartition("/lib/")[0]) == ("1.26.4", "/opt/lipserve")
    assert inside(image, "python3", "-c", IMPORTS).strip() == "(3, 12) /opt/lipserve False False"
    assert "--repository DIR" in inside(image, "lipserve", "pod", "--help")
    assert "smoke" in inside(image, "lipserve", "--help")
    files = [path for path in image.layer.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} & {".pth", ".onnx", ".plan", ".safetensors", ".pt"} == set()
    scripts = sorted(path.name for path in (image.layer / "opt/lipserve/bin").glob("lipserve*"))
    assert scripts == ["lipserve"]
