"""The key of plans: what it is made of, and that every part of it tells."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lipserve.engine_store import EngineKey, models_digest

GRAPHS = [hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c")]


def test_the_key_names_gpu_tensorrt_and_models() -> None:
    key = EngineKey.of("sm80", "tensorrt", "10.13.3.9", GRAPHS)
    digest = hashlib.sha256("\n".join(sorted(GRAPHS)).encode()).hexdigest()[:12]
    assert str(key) == f"sm80-trt10.13.3-{digest}"
    assert EngineKey.parse(str(key)) == key
    assert str(EngineKey.of("sm120", "tensorrt_rtx", "1.7.1.116", GRAPHS)) == f"sm120-rtx1.7.1-{digest}"


def test_the_order_of_graphs_does_not_count_and_each_of_them_does() -> None:
    assert models_digest(reversed(GRAPHS)) == models_digest(GRAPHS)
    assert models_digest(GRAPHS[:2]) != models_digest(GRAPHS)
    assert models_digest([*GRAPHS[:2], GRAPHS[2][::-1]]) != models_digest(GRAPHS)


@pytest.mark.parametrize(
    ("capability", "version", "same"),
    [
        ("sm80", "10.13.3.11", True),  # the fourth part does not decide
        ("sm80", "10.13.4", False),
        ("sm86", "10.13.3", False),
    ],
)
def test_gpu_and_version_count(capability: str, version: str, same: bool) -> None:
    key = EngineKey.of("sm80", "tensorrt", "10.13.3.9", GRAPHS)
    assert (EngineKey.of(capability, "tensorrt", version, GRAPHS) == key) is same


@pytest.mark.parametrize(
    "name",
    ["", "lost+found", "sm80-trt10.13.3", "sm80-trt10.13-0123456789ab", ".sm80-trt10.13.3-0123456789ab"],
)
def test_a_text_that_is_no_key_gives_none(name: str) -> None:
    assert EngineKey.parse(name) is None


# A library with the driver's entry points that fails where it is told to: no fault can be had otherwise.
DRIVER = """
#include <stdlib.h>
#include <string.h>
static int told(const char *call) {
    const char *at = getenv("FAULT_AT");
    return at && !strcmp(at, call) ? atoi(getenv("FAULT")) : 0;
}
int cuInit(unsigned flags) { return told("cuInit"); }
int cuDeviceGetCount(int *count) { *count = 1; return told("cuDeviceGetCount"); }
int cuDeviceGet(int *device, int number) { *device = number; return told("cuDeviceGet"); }
int cuDeviceGetAttribute(int *value, int name, int device) {
    *value = name == 75 ? 9 : 0;
    return told("cuDeviceGetAttribute");
}
int cuGetErrorName(int code, const char **text) {
    *text = code == 803 ? "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH" : 0;
    return 0;
}
int cuGetErrorString(int code, const char **text) { *text = code == 803 ? "versions differ" : 0; return 0; }
"""
ASK = "from lipserve.engine_store import compute_capabilities as ask; print(ask())"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a libcuda.so.1 of `DRIVER`."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler: apt-get install gcc libc6-dev")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(DRIVER)
    line = ["cc", "-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)
    return folder


def asked(driver: Path, call: str, code: int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver), "FAULT_AT": call, "FAULT": str(code)}
    line = [sys.executable, "-c", ASK]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_driver_that_works_tells_its_gpu_and_one_without_a_gpu_none(driver: Path) -> None:
    assert asked(driver, "", 0).stdout == "['sm90']\n"
    assert asked(driver, "cuInit", 100).stdout == "[]\n"
    assert asked(driver, "cuDeviceGetCount", 100).stdout == "[]\n"


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetAttribute"])
def test_a_drivers_fault_is_told_as_what_it_is(driver: Path, call: str) -> None:
    ended = asked(driver, call, 803)
    assert ended.returncode == 1
    assert "lipserve.errors.EngineError" in ended.stderr
    fault = "803 (CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, versions differ)"
    assert f"The NVIDIA driver does not work: {call} fails with {fault}." in ended.stderr
    assert "nvidia-smi" in ended.stderr


def test_a_fault_that_the_driver_has_no_name_for_is_told_by_its_number(driver: Path) -> None:
    assert "cuInit fails with 999 (an unknown error)." in asked(driver, "cuInit", 999).stderr
