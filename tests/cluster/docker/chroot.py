"""Build a Dockerfile without a container engine: every RUN and COPY in an overlay over this machine's root.

What it stands for is the image's file system, environment and user. What differs is the base: this machine
with a Python of the base's version under /usr/local, instead of the base image.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.docker.dockerfile import Stage, expand, read

CHECKOUT = Path(__file__).resolve().parents[3]
_NAMESPACES = ["unshare", "--mount", "--propagation", "private"]


@dataclass
class Image:
    """What a stage gave, and what its container starts with.

    Attributes:
        layer: every file that differs from this machine's, below.
    """

    layer: Path
    environment: dict[str, str]
    workdir: str = "/"
    user: str = "0:0"
    stage: Stage | None = None

    @property
    def root(self) -> Path:
        """Where its file system is mounted."""
        return self.layer.with_name(f"{self.layer.name}.root")

    @property
    def command(self) -> list[str]:
        assert self.stage is not None
        return self.stage.last("ENTRYPOINT").words + self.stage.last("CMD").words


def needs_overlays(folder: Path) -> None:
    """Skip where this machine lets nobody mount an overlay."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("no container engine, and without root and unshare no overlay of this machine's root")
    for name in ("upper", "work", "merged"):
        (folder / name).mkdir()
    line = _overlay(folder / "upper", folder / "work", folder / "merged")
    tried = subprocess.run([*_NAMESPACES, "sh", "-c", line], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no container engine, and no overlay of this machine's root: {tried.stderr.strip()}")


def interpreter(version: str) -> Path:
    """Return the prefix of a Python of that version on this machine, or skip."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == version:
        return Path(sys.base_prefix)
    for path in sorted(Path.home().glob(f".pyenv/versions/{version}.*")):
        return path
    found = shutil.which(f"python{version}")
    if found is None:
        pytest.skip(f"there is no Python {version} here")
    line = [found, "-c", "import sys; print(sys.prefix)"]
    return Path(subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip())


@dataclass
class Builder:
    """Builds in `folder`, with `python` (a version) as the base image's.

    Attributes:
        extra: environment of every RUN, such as `docker build` takes from its own.
        base: environment of the base image.
        files: of the base image, beside this machine's, by their path below /.
    """

    folder: Path
    python: str
    extra: dict[str, str] = field(default_factory=dict)
    base: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    _number: int = field(default=0)

    def build(self, dockerfile: Path) -> Image:
        """Return the last stage's image, every argument at its default."""
        defaults, stages = read(dockerfile)
        images: dict[str, Image] = {}
        image = self._base()
        for stage in stages:
            base = images.get(stage.base) or self._base()
            image = self._stage(stage, base, images, defaults)
            images[stage.name] = image
        return image

    def _base(self) -> Image:
        layer, prefix = self.folder / "base", interpreter(self.python)
        if not layer.exists():
            local = layer / "usr/local"
            (local / "bin").mkdir(parents=True)
            (local / "lib").mkdir()
            for name in ("python3", f"python{self.python}"):
                (local / "bin" / name).symlink_to(prefix / "bin" / f"python{self.python}")
            (local / "lib" / f"python{self.python}").symlink_to(prefix / "lib" / f"python{self.python}")
            for path in Path(prefix).parents:  # a Python in somebody's home: readable for every user
                if path != Path("/"):
                    (layer / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
            for name, text in self.files.items():
                (layer / name).parent.mkdir(parents=True, exist_ok=True)
                (layer / name).write_text(text)
        path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        return Image(layer, {"PATH": path, "HOME": "/tmp", **self.base})

    def _stage(self, stage: Stage, base: Image, images: dict[str, Image], arguments: dict[str, str]) -> Image:
        self._number += 1
        layer = self.folder / f"layer{self._number}"
        shutil.copytree(base.layer, layer, symlinks=True)
        image = Image(layer, dict(base.environment), base.workdir, base.user, stage)
        declared: dict[str, str] = {}
        for step in stage.instructions:
            value = step.value
            if step.name == "ARG":
                name, _, default = value.partition("=")
                declared[name] = arguments.get(name, default)
            elif step.name == "ENV":
                for word in shlex.split(value):
                    name, _, text = word.partition("=")
                    image.environment[name] = expand(text, image.environment | declared)
            elif step.name == "WORKDIR":
                image.workdir = value
                (layer / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif step.name == "USER":
                image.user = value
            elif step.name == "COPY":
                self._copy(value.split(), step.flags.get("from"), images, image)
            elif step.name == "RUN":
                self._run(image, value, declared)
        return image

    def _copy(self, words: Sequence[str], source: str | None, images: dict[str, Image], image: Image) -> None:
        target = Path(image.workdir) / words[-1]
        for word in words[:-1]:
            found = images[source].layer / word.lstrip("/") if source else CHECKOUT / word
            into = target / found.name if words[-1].endswith("/") else target
            into = image.layer / into.relative_to("/")
            into.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(
                    found, into, symlinks=True, dirs_exist_ok=True, ignore=None if source else ignored
                )
            else:
                shutil.copy2(found, into)

    def _run(self, image: Image, command: str, arguments: dict[str, str]) -> None:
        network = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        line = enter(image, ["sh", "-c", command], network | self.extra | arguments, writable=True)
        done = subprocess.run(line, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"


def _overlay(upper: Path, work: Path, merged: Path) -> str:
    return f"mount -t overlay overlay -o lowerdir=/,upperdir={upper},workdir={work} {merged}"


def enter(
    image: Image,
    command: Sequence[str],
    extra: dict[str, str],
    writable: bool = False,
    mounts: Sequence[str] = (),
) -> list[str]:
    """Return what runs a command in an image, as its user; its root is read-only where it is not `writable`.

    Args:
        mounts: lines of shell for what else is mounted; $ROOT is the image's root.
    """
    work = image.layer.with_name(f"{image.layer.name}.work")
    for folder in (work, image.root):
        folder.mkdir(exist_ok=True)
    variables = [f"{name}={value}" for name, value in (extra | image.environment).items()]
    inside = f'cd {image.workdir} && exec "$@"'
    user = [] if image.user == "0:0" else [f"--userspec={image.user}"]
    line = [*user, "$ROOT", "env", "-i", *map(shlex.quote, variables), "sh", "-c", shlex.quote(inside), "sh"]
    script = [
        "set -e",
        f"ROOT={image.root}",
        _overlay(image.layer, work, image.root),
        "mount --rbind /dev $ROOT/dev",
        "mount -t proc proc $ROOT/proc",
        "mount -t tmpfs -o mode=1777 tmpfs $ROOT/tmp",
        *mounts,
        *([] if writable else ["mount -o remount,ro $ROOT"]),
        f"exec chroot {' '.join(line)} {shlex.join(command)}",
    ]
    return [*_NAMESPACES, "--pid", "--fork", "--kill-child", "sh", "-c", "\n".join(script)]


@dataclass
class Container:
    """A running image. Its first process is the image's command, in a network of its own."""

    image: Image
    process: subprocess.Popen[str]

    @property
    def first(self) -> int:
        """Process id of the container's first process, as this machine sees it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while not (found := children.read_text().split()):
            assert self.process.poll() is None, self.process.communicate()[0]
            time.sleep(0.05)
        return int(found[0])

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the container's user."""
        variables = [f"{name}={value}" for name, value in self.image.environment.items()]
        line = ["nsenter", f"--target={self.first}", "--mount", "--net", "--pid", "chroot"]
        line += [f"--userspec={self.image.user}", str(self.image.root), "env", "-i", *variables, *command]
        return subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM to the first process; return its exit code and everything that it told."""
        os.kill(self.first, signal.SIGTERM)
        told, _ = self.process.communicate(timeout=120)
        return self.process.returncode, told


@contextlib.contextmanager
def running(image: Image, mounts: Sequence[str]) -> Iterator[Container]:
    """Start an image's command on a read-only root, with loopback as its only network."""
    line = enter(image, image.command, {}, mounts=["ip link set lo up", *mounts])
    line[len(_NAMESPACES) : len(_NAMESPACES)] = ["--net"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Container(image, process)
    finally:
        if process.poll() is None:
            process.kill()  # and its child with it
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
