"""The chart's shell scripts, really run: rclone and files where the pod has a bucket and a claim."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[3] / "helm/lipserve/files"
MARK = "0123456789ab"

needs_rclone = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")


def start(script: str, models: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a script as the container does, with the mount at another place."""
    text = (FILES / script).read_text().replace("/models", str(models)).replace("sleep 5", "sleep 0.2")
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin", "RCLONE_CONFIG": str(models / "none.conf")}
    pipe = subprocess.PIPE
    return subprocess.Popen(["sh", "-euc", text], env=path | environment, stdout=pipe, stderr=pipe, text=True)


def run(script: str, models: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    with start(script, models, **environment) as started:
        out, err = started.communicate(timeout=60)
    return subprocess.CompletedProcess(started.args, started.returncode, out, err)


def built_while_it_waits(started: subprocess.Popen[str], build: Callable[[], None]) -> None:
    """Call `build` once a script says that it waits, and see it end well after that, not before."""
    with started:
        assert started.stdout is not None
        assert started.stdout.readline().startswith("Waiting for the build Job")
        time.sleep(0.5)
        assert started.poll() is None
        build()
        _, err = started.communicate(timeout=60)
    assert started.returncode == 0, err


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    for leaf in ("unet", "vae"):
        (tmp_path / f"bucket/{leaf}/1").mkdir(parents=True)
        (tmp_path / f"bucket/{leaf}/1/model.onnx").write_bytes(leaf.encode() * 50_000)
    return tmp_path / "bucket"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def copied(bucket: Path, models: Path, build: str = "", wait: int = 0) -> subprocess.CompletedProcess[str]:
    return run(
        "copy-models.sh", models, STORE=str(bucket), REVISION="r1", BUILD=build, WAIT_SECONDS=str(wait)
    )


@needs_rclone
def test_a_copy_is_whole_marked_and_not_made_again(bucket: Path, models: Path) -> None:
    first = copied(bucket, models)
    assert first.returncode == 0, first.stderr
    assert tree(models) == [".complete", "unet/1/model.onnx", "vae/1/model.onnx"]
    assert (models / ".complete").read_text() == "r1"
    shutil.rmtree(bucket)  # the object store is down: the cache serves
    again = copied(bucket, models)
    assert again.returncode == 0
    assert "The cache holds this revision already." in again.stdout


@needs_rclone
def test_a_copy_that_was_cut_off_is_mended(bucket: Path, models: Path) -> None:
    (models / "unet/1").mkdir(parents=True)
    (models / "unet/1/model.onnx").write_bytes(b"x" * 200_000)  # of the right size, and wrong
    assert copied(bucket, models).returncode == 0
    assert (models / "unet/1/model.onnx").read_bytes() == (bucket / "unet/1/model.onnx").read_bytes()


@needs_rclone
def test_a_store_that_is_not_there_fails_the_start(tmp_path: Path, models: Path) -> None:
    failed = copied(tmp_path / "nowhere", models)
    assert failed.returncode != 0
    assert "directory not found" in failed.stderr
    assert not (models / ".complete").exists()


@needs_rclone
def test_a_copy_waits_for_the_build_and_takes_its_engines(bucket: Path, models: Path) -> None:
    def build() -> None:
        (bucket / "engines/sm80/unet").mkdir(parents=True)
        (bucket / "engines/sm80/unet/model.plan").write_bytes(b"plan")
        (bucket / ".built").mkdir()
        (bucket / ".built" / MARK).write_text(MARK)

    environment = {"STORE": str(bucket), "REVISION": "r1", "BUILD": MARK, "WAIT_SECONDS": "600"}
    built_while_it_waits(start("copy-models.sh", models, **environment), build)
    assert "engines/sm80/unet/model.plan" in tree(models)
    assert (models / ".complete").exists()


@needs_rclone
def test_a_build_that_never_ends_leaves_the_word_to_the_server(bucket: Path, models: Path) -> None:
    late = copied(bucket, models, MARK, 5)
    assert late.returncode == 0
    assert "did not finish within 5 s" in late.stdout
    assert "unet/1/model.onnx" in tree(models)
    assert not (models / ".complete").exists()  # the next start looks again


@needs_rclone
def test_what_the_job_made_is_published_and_marked(bucket: Path, models: Path) -> None:
    copy = run("copy-models.sh", models, STORE=str(bucket), REVISION="", BUILD="", WAIT_SECONDS="0")
    assert copy.returncode == 0, copy.stderr
    assert not (models / ".complete").exists()  # pods that share the cache go on waiting
    (models / "engines/sm80/unet").mkdir(parents=True)
    (models / "engines/sm80/unet/model.plan").write_bytes(b"plan")
    published = run("publish-models.sh", models, STORE=str(bucket), BUILD=MARK)
    assert published.returncode == 0, published.stderr
    assert tree(bucket) == [
        f".built/{MARK}",
        "engines/sm80/unet/model.plan",
        "unet/1/model.onnx",
        "vae/1/model.onnx",
    ]
    assert (bucket / ".built" / MARK).read_text() == MARK


def test_a_pod_of_a_claim_waits_for_the_mark(models: Path) -> None:
    def build() -> None:
        (models / ".built").mkdir()
        (models / ".built" / MARK).touch()

    built_while_it_waits(start("wait-for-build.sh", models, BUILD=MARK, WAIT_SECONDS="600"), build)
    late = run("wait-for-build.sh", models, BUILD="another", WAIT_SECONDS="5")
    assert late.returncode == 0
    assert "did not finish within 5 s" in late.stdout
