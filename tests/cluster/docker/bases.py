"""Stand-ins for the images that the Dockerfiles begin with, made of Debian by debootstrap.

What NVIDIA's image adds has its paths, its user and its environment, as upstream's build script writes them.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.docker.chroot import CHECKOUT, interpreter
from tests.cluster.docker.engine import Engine

PYTHON = "docker.io/library/python:3.11-slim-bookworm"
TRITON = "nvcr.io/nvidia/tritonserver:26.11-py3"
TRITON_PYTHON = "3.12"
DALI = "backends/dali/wheel/dali"
"""The folder that the base's PYTHONPATH names, below Triton's own."""

_PACKAGES = "ca-certificates,python3,python3-pip,python3-venv,libpython3.11"
_LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_USER = "useradd --uid 1000 --no-create-home triton-server"
_TRITON = f"""
FROM {PYTHON}
COPY python /usr/local
COPY tritonserver /opt/tritonserver
COPY constraints.txt /tmp/constraints.txt
RUN echo /opt/tritonserver/lib >/etc/ld.so.conf.d/tritonserver.conf && ldconfig && {_USER} \\
    && python3 -m pip install --no-cache-dir --no-deps -c /tmp/constraints.txt \\
       --target /opt/tritonserver/backends/onnxruntime/packages onnxruntime
ENV PATH=/opt/tritonserver/bin:$PATH PYTHONPATH=/opt/tritonserver/{DALI}: TCMALLOC_RELEASE_RATE=200
WORKDIR /opt/tritonserver
"""
_EXPORT = f"""
FROM {PYTHON}
COPY index /opt/index
COPY bindings /opt/bindings
COPY lib {_LIBRARIES}
RUN ln -s libtensorrt_rtx.so.1 {_LIBRARIES}/libnvinfer.so.11 && ldconfig && {_USER}
ENV CUDA_VERSION=13.4.0 PYTHONPATH=/opt/tritonserver/{DALI}:
"""
_BINDINGS = "tensorrt_cu13_bindings-1.7.1.116-py3-none-any.whl"
EXPORT_ARGUMENTS = {
    "TRITON_TAG": "export",
    "PIP_EXTRA_INDEX_URL": "file:///opt/index",
    "TENSORRT_BINDINGS": f"/opt/bindings/{_BINDINGS}",
}
"""How the export image is built on `add_exporter`'s base."""


def add_python(engine: Engine) -> None:
    """Import the base of Python's image; skips where the engine can start no container of it."""
    engine.run("import", _debian(engine.folder), PYTHON)
    tried = engine.run("run", "--rm", "--network=none", PYTHON, "true", check=False)
    if tried.returncode:
        pytest.skip(f"podman starts no container here: {tried.stderr.strip()[-300:]}")


def _debian(folder: Path) -> Path:
    """Return a file of Debian with Python, made once on a machine; it trusts whom this machine trusts."""
    made = CHECKOUT / "build/test/images/bookworm.tar"
    if not made.exists():
        root, tar = folder / "debian", folder / "bookworm.tar"
        line = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            pytest.skip(f"debootstrap makes no base here: {done.stdout[-300:]}")
        authorities = Path("etc/ssl/certs/ca-certificates.crt")
        if (Path("/") / authorities).exists():
            shutil.copy(Path("/") / authorities, root / authorities)
        subprocess.run(["tar", "-C", root, "-cf", tar, "."], check=True)
        shutil.rmtree(root)
        made.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(tar, made)
    return made


@contextmanager
def context(engine: Engine) -> Iterator[Path]:
    """Make a folder that an image is built of."""
    folder = engine.folder / "context"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def add_triton(engine: Engine, packages: Mapping[str, str]) -> None:
    """Make the stand-in for NVIDIA's image: its Python, a real Triton at its paths, its user and environment.

    Triton 24.10 and its Python backend are those of nvidia-pytriton. The backend `onnxruntime` is
    `onnxruntime_backend`, and there is none for TensorRT.

    Args:
        packages: files of DALI's folder, which the base's PYTHONPATH names.
    """
    with context(engine) as folder:
        shutil.copytree(interpreter(TRITON_PYTHON), folder / "python", symlinks=True)
        shutil.copy(CHECKOUT / "docker/constraints.txt", folder)
        _lay_triton(folder / "tritonserver")
        for name, text in packages.items():
            (folder / "tritonserver" / DALI / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tritonserver" / DALI / name).write_text(text)
        (folder / "Dockerfile").write_text(_TRITON)
        engine.build(folder / "Dockerfile", TRITON, folder)


def _lay_triton(target: Path) -> None:
    package = _package("pytriton")
    found = package / "tritonserver"
    shutil.copytree(package.parent / "nvidia_pytriton.libs", target / "lib")
    shutil.copytree(found / "bin", target / "bin")
    shutil.copytree(found / "backends/python", target / "backends/python")
    stub = f"python_backend_stubs/{TRITON_PYTHON}/triton_python_backend_stub"
    shutil.copy(found / stub, target / "backends/python")
    runtime = target / "backends/onnxruntime"
    runtime.mkdir()
    shutil.copy(Path(__file__).with_name("onnxruntime_backend.py"), runtime / "model.py")


def add_exporter(engine: Engine) -> None:
    """Make the stand-in that exporters are built on, and with it a package index of PyTorch alone.

    Its Python is 3.11. In TensorRT's place is TensorRT for RTX, under the name of TensorRT's library, with
    bindings under both names: it parses and builds as TensorRT does, also where there is no GPU.
    """
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install -e '.[rtx]'")
    with context(engine) as folder:
        _index(folder / "index/torch")
        _bindings(folder / "bindings")
        shutil.copytree(_package("tensorrt_rtx_libs"), folder / "lib", ignore=shutil.ignore_patterns("*py*"))
        (folder / "Dockerfile").write_text(_EXPORT)
        engine.build(
            folder / "Dockerfile", TRITON.replace("26.11-py3", EXPORT_ARGUMENTS["TRITON_TAG"]), folder
        )


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    (found,) = map(Path, spec.submodule_search_locations or ())
    return found


def _index(folder: Path) -> None:
    """Make an index of the PyTorch that pip finds, if that is a build for CPUs; skips where it is not."""
    folder.mkdir(parents=True)
    (pin,) = (
        line
        for line in (CHECKOUT / "docker/constraints.txt").read_text().split()
        if line.startswith("torch==")
    )
    line = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), pin]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        pytest.skip(f"pip finds no {pin}: {done.stderr.strip()[-300:]}")
    (wheel,) = folder.iterdir()
    if "+cpu" not in wheel.name:
        pytest.skip(f"pip finds no build of {pin} for CPUs alone, and the others are gigabytes: {wheel.name}")
    (folder / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')


def _bindings(folder: Path) -> None:
    """Make a wheel of the bindings that are installed here, under the name of TensorRT's own as well."""
    folder.mkdir()
    own, files = _package("tensorrt_rtx_bindings"), {}
    for path in (own / "__init__.py", *own.glob("*.so")):
        files[f"{own.name}/{path.name}"] = path.read_bytes()
    files["tensorrt_bindings/__init__.py"] = (
        b"from tensorrt_rtx_bindings import *\nfrom tensorrt_rtx_bindings import __version__\n"
    )
    name, version = _BINDINGS.split("-")[:2]
    about = f"{name}-{version}.dist-info"
    files[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/RECORD"] = "".join(f"{each},,\n" for each in (*files, f"{about}/RECORD")).encode()
    with zipfile.ZipFile(folder / _BINDINGS, "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
