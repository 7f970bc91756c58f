"""Triton itself: NGC's or the one that nvidia-pytriton keeps, and how it is started.

Of nvidia-pytriton only the binary, the Python backend and its stubs are used; it is never imported.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lipserve.contracts import Profile
from lipserve.errors import SetupError
from lipserve_server.launcher.addresses import HOST

NGC = Path("/opt/tritonserver")
"""Folder of Triton in NVIDIA's container images."""

ADMIN_HEADER = "triton-grpc-protocol-admin-key"
EXIT_SECONDS = 8
"""Time limit for the end of an idle server: a model whose process was killed at work never unloads."""

TRACE_MILLISECONDS = 200
"""Time that finished spans wait for other spans, to be sent together."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# Runs a command that is killed when the thread that started it ends: nobody could reach it any more, and its
# ports are free for the next one.
_TIED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9);"
    "os.getppid() == int(sys.argv[1]) and os.execv(sys.argv[2], sys.argv[2:])"
)


_PLAIN = re.compile(r"[\w.+,:@%/=-]+")
_GRPC_PORT = 8001  # Triton appends it to the socket's name
_SOCKET_LENGTH = 107  # bytes of a socket's name, says Linux

# What tells any Python to import other code than its own: NVIDIA's images set the first, for their DALI.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE")

_ENGINES: dict[Profile, str] = {"tensorrt": "tensorrt", "onnx": "onnxruntime", "embedded": "python"}


@dataclass(frozen=True)
class Installation:
    """The files of a Triton server that can be started.

    Attributes:
        backends: the directory that holds one of each backend; None where it has to be made of `backend`.
        backend: what the directory of the Python backend must hold.
    """

    binary: Path
    backends: Path | None = None
    backend: tuple[Path, ...] = ()

    def link_backend(self, directory: Path) -> Path:
        """Return the directory of the backends: its own, or one of links that is made in `directory`.

        Links, because copies do not find the libraries that they name by their own place; a directory of its
        own, because the wheel keeps the stubs where Triton does not look.
        """
        if self.backends is not None:
            return self.backends
        target = directory / "backends" / "python"
        target.mkdir(parents=True)
        for path in self.backend:
            (target / path.name).symlink_to(path)
        return target.parent

    def check(self, profile: Profile) -> None:
        """Raise SetupError if no backend runs the leaves of a profile."""
        name = _ENGINES[profile]
        if name != "python" and not (self.backends and (self.backends / name).is_dir()):
            raise SetupError(
                f"{self.binary} has no backend {name}, which the profile {profile} needs.",
                "Run NVIDIA's Triton image, or the profile embedded.",
            )


def find_any() -> Installation:
    """Return NGC's Triton if installed, else the wheel's; SetupError if there is neither."""
    binary, backends = NGC / "bin" / "tritonserver", NGC / "backends"
    return Installation(binary, backends) if binary.is_file() else find()


def find() -> Installation:
    """Return the wheel's Triton, or raise SetupError naming what this machine lacks."""
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("nvidia-pytriton is not installed.", "Install it: pip install 'lipserve[server]'.")
    _check_numpy()
    root = Path(next(iter(spec.submodule_search_locations))).resolve() / "tritonserver"
    stub = root / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
    backend = root / "backends" / "python"
    files = (backend / "libtriton_python.so", backend / "triton_python_backend_utils.py", stub)
    for path in (root / "bin" / "tritonserver", *files):
        if not path.is_file():
            raise SetupError(
                f"nvidia-pytriton has no {path.name} for Python {PYTHON}.",
                "Use Python 3.11 or 3.12, and nvidia-pytriton 0.7.0.",
            )
    _check_libraries(stub)
    return Installation(root / "bin" / "tritonserver", backend=files)


def _check_numpy() -> None:
    try:
        found = version("numpy")
    except PackageNotFoundError as error:
        raise SetupError("numpy is not installed.", "Install it: pip install 'lipserve[server]'.") from error
    if int(found.split(".")[0]) >= 2:
        raise SetupError(
            f"numpy {found} does not work with the embedded Triton's Python backend.",
            "Install an older one: pip install 'numpy<2'.",
        )


def _check_libraries(stub: Path) -> None:
    # Without arguments it prints its usage; where a library is missing the loader says which.
    messages = subprocess.run([stub], capture_output=True, text=True, timeout=30, check=False).stderr
    missing = re.search(r"error while loading shared libraries: ([^:]+):", messages)
    if missing is None:
        return
    if missing[1].startswith("libpython"):
        remedy = f"Install the system's: apt-get install libpython{PYTHON}."
    else:
        remedy = "Reinstall it: pip install --force-reinstall --no-deps nvidia-pytriton==0.7.0."
    raise SetupError(f"The embedded Triton needs {missing[1]}.", remedy)


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the server's environment: this Python first, and one thread for each native library.

    The stages import what this environment has installed, whatever variables of the surroundings name.
    ONNX Runtime reports nothing to its maker, which it does by default.
    """
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    own = Path(sys.executable).parent  # not resolved: the stub finds the virtual environment from its python3
    path = f"{own}:{base['PATH']}" if base.get("PATH") else str(own)
    kept = {name: value for name, value in base.items() if name not in _FOREIGN}
    fixed = {"PATH": path, "PYTHONUNBUFFERED": "1", "ORT_DISABLE_TELEMETRY": "1"}
    return {**kept, **dict.fromkeys(threads, "1"), **fixed}


@dataclass(frozen=True)
class Settings:
    """Settings of one start of the server."""

    repository: Path
    models: tuple[str, ...]  # that are loaded; others in the repository are not looked at
    backends: Path
    socket: Path  # of gRPC, without what `address` appends
    metrics_port: int
    admin_key: str
    shm_prefix: str
    trace_url: str | None = None  # of an OTLP/HTTP collector; None: nothing is traced
    host: str = HOST
    profile: Profile = "embedded"
    shared_memory: bool = True  # whether clients may register it

    @property
    def address(self) -> str:
        """Address for gRPC clients of this user: Triton itself listens on no network."""
        return f"unix:{self.bound}"

    @property
    def bound(self) -> Path:
        """The socket that Triton makes."""
        return Path(f"{self.socket}:{_GRPC_PORT}")


def command(binary: Path, settings: Settings) -> list[str]:
    """Return the server's command line.

    Clients can neither load nor unload a model, nor change tracing or the log: that takes the key, which
    is new at every start.
    """
    closed = "model-repository,trace,logging" + ("" if settings.shared_memory else ",shared-memory")
    return [
        str(binary),
        f"--model-repository={settings.repository}",
        f"--backend-directory={settings.backends}",
        *_config_name(settings.profile),
        "--disable-auto-complete-config",  # saves every model a process at its start
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in settings.models),
        "--allow-http=false",
        f"--grpc-address=unix:{settings.socket}",
        f"--grpc-port={_GRPC_PORT}",
        "--grpc-infer-allocation-pool-size=0",  # what is kept for reuse is kept as large as it ever was
        f"--grpc-restricted-protocol={closed}:admin-key={settings.admin_key}",
        "--allow-metrics=true",
        f"--metrics-address={'ipv6:' if ':' in settings.host else ''}{settings.host}",
        f"--metrics-port={settings.metrics_port}",
        f"--backend-config=python,shm-region-prefix-name={settings.shm_prefix}",
        f"--exit-timeout-secs={EXIT_SECONDS}",
        *(_tracing(settings.trace_url) if settings.trace_url else ()),
    ]


def check_socket(socket: Path) -> None:
    """Raise SetupError if the path of a socket is too long for the kernel."""
    if len(f"{socket}:{_GRPC_PORT}".encode()) > _SOCKET_LENGTH:
        raise SetupError(f"The path {socket} is too long for a socket.", "Set TMPDIR to a shorter path.")


def plain(path: Path, folder: Path) -> Path:
    """Return a path that reaches the stages: Triton names it to a shell, without quotes.

    One that a shell would take apart (it has a space, say) is reached by a link in `folder`.

    Raises:
        SetupError: the path of `folder` is such a one itself.
    """
    if not _PLAIN.fullmatch(str(folder)):
        raise SetupError(
            f"Triton cannot start its Python stages from {folder}: the path has a space or another "
            "character that a shell reads.",
            "Set TMPDIR, or --work of a pod, to a path of letters, digits and ._+,:@%/- alone.",
        )
    if _PLAIN.fullmatch(str(path)):
        return path
    link = folder / "models"
    link.symlink_to(path)
    return link


def _config_name(profile: Profile) -> list[str]:
    # `config.pbtxt` itself is the profile tensorrt's.
    return [] if profile == "tensorrt" else [f"--model-config-name={profile}"]


def _tracing(url: str) -> list[str]:
    """Return the options that send the spans of every request to `url`, as OTLP over HTTP in JSON."""
    settings = (
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        "rate=1",
        f"opentelemetry,url={url}",
        "opentelemetry,resource=service.name=lipserve",
        f"opentelemetry,bsp_schedule_delay={TRACE_MILLISECONDS}",
    )
    return [f"--trace-config={setting}" for setting in settings]


def start(command_line: list[str], parent: int, base: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the server in a session of its own (Ctrl-C reaches the launcher only), its log on `stdout`.

    It is killed when the calling thread ends: call this from a thread that outlives it.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _TIED, str(parent), *command_line],
        env=environment(base),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
