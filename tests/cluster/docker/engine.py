"""A real container engine, podman with runc, in a folder of its own, that needs no registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.docker.chroot import CHECKOUT
from tests.support.waiting import until

_PROGRAMS = ("podman", "runc", "debootstrap")
_DISK = Path("/var/tmp")  # podman refuses a folder whose name is longer than 50 characters, as pytest's are
_ROOM = 12_000_000_000  # bytes: all images at once, and the layers that they were built in
_CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass(frozen=True)
class Engine:
    """Everything that it makes lies in `folder`."""

    folder: Path

    def run(
        self, *words: str | Path, check: bool = True, seconds: float = 1800
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

    def build(self, dockerfile: Path, name: str, context: Path = CHECKOUT, **arguments: str) -> None:
        """Build an image as a user does; `arguments` are the Dockerfile's own."""
        given = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        line = ["build", "--format=docker", "--network=host", "--pull=never", *given]
        self.run(*line, "-f", dockerfile, "-t", name, context)

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


def start() -> Engine:
    """Return an engine without an image, or skip with the reason why none can run here."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if os.geteuid() or missing:
        pytest.skip(f"no container engine can run here: {', '.join(missing) or 'not root'}")
    if (free := shutil.disk_usage(_DISK).free) < _ROOM:
        pytest.skip(f"images need {_ROOM / 1e9:.0f} GB in {_DISK}, and {free / 1e9:.0f} are free")
    folder = Path(tempfile.mkdtemp(prefix="engine", dir=_DISK))
    (folder / "containers.conf").write_text(_CONTAINERS)
    return Engine(folder)


@dataclass(frozen=True)
class Built:
    """An image that is built, and the pod that the chart makes of it."""

    name: str
    spec: dict[str, Any]


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


def container(spec: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a container of a pod by its name."""
    (found,) = (
        held for held in [*spec["containers"], *spec.get("initContainers", [])] if held["name"] == name
    )
    made: dict[str, Any] = found
    return made


def arguments(spec: dict[str, Any], name: str) -> list[str]:
    """Return what the chart gives a container's program, but the file that a kubelet makes."""
    given: list[str] = container(spec, name)["args"]
    return [word for word in given if not word.startswith("--termination-log")]


def hardened(spec: dict[str, Any], name: str, folders: Mapping[str, Path]) -> list[str]:
    """Return podman's options for the security context, the memory and the volumes of a chart's container.

    Args:
        folders: of the pod's volumes, by their names; others are not mounted.
    """
    found, pod = container(spec, name), spec["securityContext"]
    security = found["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    memory = found["resources"]["limits"]["memory"].removesuffix("i")
    options = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"]
    options += [
        f"--user={pod['runAsUser']}:{pod['runAsGroup']}",
        f"--memory={memory}",
        f"--memory-swap={memory}",
    ]
    for mount in found["volumeMounts"]:
        if mount["name"] in folders:
            mode = "ro" if mount.get("readOnly") else "rw"
            options.append(f"--volume={folders[mount['name']]}:{mount['mountPath']}:{mode}")
    values = {held["name"]: held["value"] for held in found.get("env", []) if "value" in held}
    return options + [f"--env={key}={value}" for key, value in values.items()]
