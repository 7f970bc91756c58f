"""The chart's shell scripts, really run: rclone and files where the pod has a bucket and a claim."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_server.pod.wait import wait
from lipserve_server.repository.engines import Machine
from tests.support.stores import A100, build, export

FILES = Path(__file__).resolve().parents[3] / "helm/lipserve/files"
needs_rclone = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")


def run(script: str, models: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a container does, with the mount at another place."""
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin", "RCLONE_CONFIG": str(models / "none.conf")}
    command = ["sh", "-euc", text(script, models)]
    return subprocess.run(
        command, env=path | environment, capture_output=True, text=True, timeout=60, check=False
    )


def text(script: str, models: Path) -> str:
    return (FILES / script).read_text().replace("/models", str(models))


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    export(tmp_path / "bucket")
    return tmp_path / "bucket"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def copied(bucket: Path, models: Path, look: int = 1) -> subprocess.CompletedProcess[str]:
    return run("copy-models.sh", models, STORE=str(bucket), REVISION="r1", LOOK=str(look))


@needs_rclone
def test_a_copy_is_whole_marked_and_not_made_again(bucket: Path, models: Path) -> None:
    first = copied(bucket, models)
    assert first.returncode == 0, first.stderr
    assert tree(models) == {*tree(bucket), ".complete"}
    assert (models / ".complete").read_text() == "r1"
    shutil.rmtree(bucket)  # the object store is down: the cache serves
    again = copied(bucket, models)
    assert again.returncode == 0
    assert "The cache holds this revision already." in again.stdout


@needs_rclone
def test_a_copy_that_was_found_wanting_is_made_again(bucket: Path, models: Path) -> None:
    assert copied(bucket, models).returncode == 0
    build(bucket)
    assert copied(bucket, models).returncode == 0
    assert tree(models) < {*tree(bucket), ".complete"}  # the mark
    assert copied(bucket, models, look=2).returncode == 0
    assert tree(models) == {*tree(bucket), ".complete"}


@needs_rclone
def test_a_copy_that_was_cut_off_is_mended(bucket: Path, models: Path) -> None:
    (graph,) = bucket.glob("face_detector/1/model.onnx")
    copy = models / graph.relative_to(bucket)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"x" * graph.stat().st_size)  # of the right size, and wrong
    assert copied(bucket, models).returncode == 0
    assert copy.read_bytes() == graph.read_bytes()


@needs_rclone
def test_a_store_that_is_not_there_fails_the_start(tmp_path: Path, models: Path) -> None:
    failed = copied(tmp_path / "nowhere", models)
    assert failed.returncode != 0
    assert "directory not found" in failed.stderr
    assert not (models / ".complete").exists()


@needs_rclone
def test_what_the_job_made_is_published_and_nothing_is_called_complete(bucket: Path, models: Path) -> None:
    copy = run("copy-models.sh", models, STORE=str(bucket), REVISION="r1")
    assert copy.returncode == 0, copy.stderr
    assert not (models / ".complete").exists()  # pods that share the cache go on looking
    build(models)
    (models / ".complete").write_text("r1")  # of a pod that shares it
    published = run("publish-models.sh", models, STORE=str(bucket))
    assert published.returncode == 0, published.stderr
    assert tree(bucket) == tree(models) - {".complete"}


@needs_rclone
def test_a_pod_copies_until_what_the_job_published_fits_it(
    bucket: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait with the chart's own script: engines come while it looks, after those of another GPU."""
    build(bucket, Machine(("sm90",), "10.13.3"))
    monkeypatch.setenv("STORE", str(bucket))
    monkeypatch.setenv("REVISION", "r1")
    monkeypatch.setenv("RCLONE_CONFIG", str(tmp_path / "none.conf"))
    fetch = ["sh", "-euc", text("copy-models.sh", models)]
    with pytest.raises(SetupError, match="another GPU"):
        wait(models, "tensorrt", 0, fetch=fetch, machine=A100)
    timer = threading.Timer(0.5, build, (bucket,))
    timer.start()
    wait(models, "tensorrt", 60, fetch=fetch, machine=A100, interval=0.1)
    timer.join()
    assert tree(models) == {*tree(bucket), ".complete"}
