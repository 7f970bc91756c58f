from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_server.launcher import triton
from tests.support.waiting import until


def settings(tmp_path: Path) -> triton.Settings:
    models = ("wav2lip_preprocess", "wav2lip")
    return triton.Settings(
        tmp_path / "models",
        models,
        tmp_path / "backends",
        tmp_path / "grpc",
        9002,
        "secret",
        "lipserve_server_1_",
    )


def test_without_a_host_metrics_are_this_machines_alone(tmp_path: Path) -> None:
    line = triton.command(Path("tritonserver"), settings(tmp_path))
    assert "--metrics-address=127.0.0.1" in line
    assert "--allow-http=false" in line


def test_triton_listens_to_no_network_but_for_its_metrics(tmp_path: Path) -> None:
    for host, metrics in (("0.0.0.0", "0.0.0.0"), ("::", "ipv6:::")):
        made = replace(settings(tmp_path), host=host)
        line = triton.command(Path("tritonserver"), made)
        assert f"--grpc-address=unix:{made.socket}" in line
        assert made.address.startswith(f"unix:{made.socket}:")
        assert f"--metrics-address={metrics}" in line  # Prometheus reads it


def test_a_socket_whose_name_the_kernel_cannot_hold_is_refused() -> None:
    triton.check_socket(Path("/tmp/lipserve/grpc"))
    with pytest.raises(SetupError, match="TMPDIR"):
        triton.check_socket(Path("/tmp") / ("x" * 100))


@pytest.mark.parametrize("name", ["two words", "a'b", "a;b", "a$b", "a(b)", "a&b", "a\nb"])
def test_a_path_that_a_shell_would_take_apart_is_reached_by_a_link(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    reached = triton.plain(tmp_path / name, tmp_path)
    assert reached == tmp_path / "models"
    assert reached.resolve() == tmp_path / name
    with pytest.raises(SetupError, match="TMPDIR"):
        triton.plain(tmp_path, tmp_path / name)


def test_a_plain_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = Path("/tmp/\u00fcbung,x=1+2@%3:4/models_v2-1.0")
    assert triton.plain(path, tmp_path) == path


def test_control_takes_the_key_and_shared_memory_does_not(tmp_path: Path) -> None:
    line = triton.command(Path("tritonserver"), settings(tmp_path))
    (restricted,) = [word for word in line if word.startswith("--grpc-restricted-protocol")]
    assert restricted == "--grpc-restricted-protocol=model-repository,trace,logging:admin-key=secret"


def test_models_of_the_repository_are_loaded_and_no_others(tmp_path: Path) -> None:
    line = triton.command(Path("tritonserver"), settings(tmp_path))
    assert [word for word in line if word.startswith("--load-model")] == [
        "--load-model=wav2lip_preprocess",
        "--load-model=wav2lip",
    ]


def test_environment_puts_this_python_first_and_holds_libraries_to_one_thread() -> None:
    made = triton.environment({"PATH": "/usr/bin", "LANG": "C"})
    assert made["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert made["OMP_NUM_THREADS"] == made["OPENBLAS_NUM_THREADS"] == "1"
    assert made["LANG"] == "C"
    assert made["ORT_DISABLE_TELEMETRY"] == "1"


def test_environment_names_no_other_code_than_this_pythons() -> None:
    named = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE")
    made = triton.environment(
        {"PATH": "/usr/bin", "PYTHONHASHSEED": "0", **dict.fromkeys(named, "/elsewhere")}
    )
    assert set(made) & set(named) == set()
    assert made["PYTHONHASHSEED"] == "0"


def test_the_installed_triton_is_found_and_linked(tmp_path: Path) -> None:
    found = triton.find()
    python = found.link_backend(tmp_path) / "python"
    assert sorted(path.name for path in python.iterdir()) == [
        "libtriton_python.so",
        "triton_python_backend_stub",
        "triton_python_backend_utils.py",
    ]
    assert all(path.is_symlink() and path.is_file() for path in python.iterdir())


def test_a_missing_wheel_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        SetupError, match=r"nvidia-pytriton is not installed.*pip install 'lipserve\[server\]'"
    ):
        triton.find()


def test_numpy_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "version", lambda name: "2.1.0")
    with pytest.raises(SetupError, match=r"numpy 2\.1\.0 .* pip install 'numpy<2'"):
        triton.find()


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    """A copy of the real stub does not find the libraries that lie beside the original."""
    stub = shutil.copy(triton.find().backend[2], tmp_path)
    with pytest.raises(SetupError, match=r"needs libcudart\S+\. Reinstall"):
        triton._check_libraries(Path(stub))


def test_a_missing_libpython_names_the_package(tmp_path: Path) -> None:
    stub = tmp_path / "stub"
    name = f"libpython{triton.PYTHON}.so.1.0"
    stub.write_text(
        f"#!/bin/sh\necho '{stub}: error while loading shared libraries: {name}: cannot open' >&2\n"
    )
    stub.chmod(0o755)
    with pytest.raises(SetupError, match=rf"needs {name}\. .*apt-get install libpython{triton.PYTHON}"):
        triton._check_libraries(stub)


def test_a_killed_parent_takes_the_server_with_it() -> None:
    """The launcher's own death signal, on a real process that would sleep for a minute."""
    code = (
        "import os, time; from lipserve_server.launcher import triton;"
        "p = triton.start(['/bin/sleep', '60'], os.getpid(), os.environ);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Path(f"/proc/{int(parent.stdout.readline())}")
    until(lambda: b"sleep" in (child / "cmdline").read_bytes().split(b"\0")[0], "it is started")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not running(child), "it has ended, long before its minute", 50)


def running(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
