"""A real container engine, podman with runc, in a folder of its own, that needs no registry.

Bases are stand-ins: Debian by debootstrap, under the names that the Dockerfiles want.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.docker.chroot import CHECKOUT, interpreter
from tests.support.waiting import until

PYTHON = "docker.io/library/python:3.11-slim-bookworm"
TRITON = "nvcr.io/nvidia/tritonserver:26.11-py3"
_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv,libpython3.11"
_PROGRAMS = ("podman", "runc", "debootstrap")
_CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_NGC = """
FROM {debian}
COPY python /usr/local
COPY dali /opt/tritonserver/backends/dali/wheel/dali
RUN ldconfig && useradd --uid 1000 triton-server
ENV PYTHONPATH=/opt/tritonserver/backends/dali/wheel/dali:
"""


@dataclass(frozen=True)
class Engine:
    """Everything that it makes lies in `folder`."""

    folder: Path

    def run(
        self, *words: str | Path, check: bool = True, seconds: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of podman; the test fails where it does."""
        own = [f"--root={self.folder}/root", f"--runroot={self.folder}/run", "--storage-driver=overlay"]
        done = subprocess.run(
            ["podman", *own, *map(str, words)],
            env=os.environ | {"CONTAINERS_CONF": str(self.folder / "containers.conf")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0 or not check, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def build(self, dockerfile: Path, name: str, context: Path = CHECKOUT) -> None:
        self.run(
            "build",
            "--format=docker",
            "--network=host",
            "--pull=never",
            "-f",
            dockerfile,
            "-t",
            name,
            context,
        )

    def state(self, container: str) -> dict[str, Any]:
        (found,) = json.loads(self.run("inspect", container).stdout)
        state: dict[str, Any] = found["State"]
        return state

    def inside(self, container: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("exec", container, *words, check=False)

    def logs(self, container: str) -> str:
        told = self.run("logs", container)
        return (told.stdout + told.stderr)[-3000:]

    def wait(self, container: str) -> None:
        """Return when a server is ready."""
        code = "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"

        def ready() -> bool:
            assert self.state(container)["Running"], self.logs(container)
            return not self.inside(container, "python3", "-c", code).returncode

        until(ready, "it is not ready", 300)

    def end(self) -> None:
        self.run("rm", "--all", "--force", "--time=0", check=False)
        self.run("umount", "--all", "--force", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def start(folder: Path) -> Engine:
    """Return an engine that can run a container here, with both bases; or skip with the reason."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if os.geteuid() or missing:
        pytest.skip(f"no container engine can run here: {', '.join(missing) or 'not root'}")
    folder.mkdir(exist_ok=True)
    (folder / "containers.conf").write_text(_CONTAINERS)
    engine = Engine(folder)
    engine.run("import", _debian(folder), PYTHON)
    tried = engine.run("run", "--rm", "--network=none", PYTHON, "true", check=False)
    if tried.returncode:
        engine.end()
        pytest.skip(f"podman starts no container here: {tried.stderr.strip()[-300:]}")
    return engine


def _debian(folder: Path) -> Path:
    """Return a file of Debian with Python, made once on a machine; it trusts whom this machine trusts."""
    made = CHECKOUT / "build/test/images/bookworm.tar"
    if not made.exists():
        root = folder / "debian"
        line = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            pytest.skip(f"debootstrap makes no base here: {done.stdout[-300:]}")
        authorities = Path("etc/ssl/certs/ca-certificates.crt")
        if (Path("/") / authorities).exists():
            shutil.copy(Path("/") / authorities, root / authorities)
        made.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-C", root, "-cf", made, "."], check=True)
        shutil.rmtree(root)
    return made


def add_triton(engine: Engine, packages: dict[str, str]) -> None:
    """Make the stand-in for NVIDIA's image: its Python, its user and its environment, without Triton.

    Args:
        packages: files of DALI's folder, which the base's PYTHONPATH names.
    """
    context = engine.folder / "ngc"
    shutil.copytree(interpreter("3.12"), context / "python", symlinks=True)
    for name, text in packages.items():
        (context / "dali" / name).parent.mkdir(parents=True, exist_ok=True)
        (context / "dali" / name).write_text(text)
    (context / "Dockerfile").write_text(_NGC.format(debian=PYTHON))
    engine.build(context / "Dockerfile", TRITON, context)
    shutil.rmtree(context)


@contextmanager
def empty_dirs(spec: dict[str, Any], folder: Path) -> Iterator[dict[str, Path]]:
    """Make the emptyDirs of a pod, by their names: a file system each, of its size, open to the pod."""
    with ExitStack() as opened:
        made = {}
        for volume in spec["volumes"]:
            if "emptyDir" in volume:
                path = made[volume["name"]] = folder / volume["name"]
                path.mkdir()
                size = volume["emptyDir"]["sizeLimit"].removesuffix("i")
                options = f"mode=1777,size={size}"
                subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
                opened.callback(subprocess.run, ["umount", "--lazy", path], check=True)
        yield made


def hardened(spec: dict[str, Any], folders: Mapping[str, Path]) -> list[str]:
    """Return podman's options for the security context, the memory and the emptyDirs of a chart's server."""
    (container,) = (found for found in spec["containers"] if found["name"] == "triton")
    security, pod = container["securityContext"], spec["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    memory = container["resources"]["limits"]["memory"].removesuffix("i")
    options = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]
    options += [
        f"--user={pod['runAsUser']}:{pod['runAsGroup']}",
        f"--memory={memory}",
        f"--memory-swap={memory}",
    ]
    mounts = [mount for mount in container["volumeMounts"] if mount["name"] in folders]
    return options + [f"--volume={folders[mount['name']]}:{mount['mountPath']}" for mount in mounts]
