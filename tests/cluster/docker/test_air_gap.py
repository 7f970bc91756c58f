"""What crosses an air gap: images under their names inside, models, a bill, and digests that are checked."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve.digests import file_sha256
from tests.cluster.scenarios import load
from tests.support.stores import LEAVES, export

ROOT = Path(__file__).resolve().parents[3]
HELM = ROOT / "build/tools/helm-3.6.2/package/bin/helm"
# `skopeo copy` between files in place of servers: docker://NAME is a file of the folder $SHELF.
SKOPEO = """#!/bin/sh -e
test "$1 $2 $3" = "copy --all --preserve-digests"
at() {
    case "$1" in
        docker://*) echo "$SHELF/$(echo "${1#docker://}" | tr /:@ ___)" ;;
        oci-archive:*) echo "${1#oci-archive:}" ;;
    esac
}
cp "$(at "$4")" "$(at "$5")"
"""
EVERYTHING = {
    "docker.io/envoyproxy/envoy:v1.40.0": "envoyproxy/envoy:v1.40.0",
    "docker.io/rclone/rclone:1.71.0": "rclone/rclone:1.71.0",
    "outside.example.com/team/lipserve-export:26.11-py3": "lipserve-export:26.11-py3",
    "outside.example.com/team/lipserve-server:0.1.0": "lipserve-server:0.1.0",
}


@pytest.fixture
def values(tmp_path: Path) -> Path:
    (scenario,) = [one for one in load() if one.name == "eks-a100-bucket"]
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(scenario.values))
    return path


@pytest.fixture
def skopeo(tmp_path: Path) -> Path:
    """A `skopeo` over the files of tmp_path/shelf, which has every image."""
    (tmp_path / "shelf").mkdir()
    for name in EVERYTHING:
        (tmp_path / "shelf" / name.translate(str.maketrans("/:@", "___"))).write_text(f"image {name}")
    program = tmp_path / "skopeo"
    program.write_text(SKOPEO)
    program.chmod(0o755)
    return program


def run(tmp_path: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SHELF": str(tmp_path / "shelf")}
    command = [sys.executable, ROOT / "docker/air_gap.py", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def helm(values: Path, *more: str) -> list[str | Path]:
    if not HELM.is_file():
        pytest.skip("Helm 3.6.2 is absent: `make chart-test` fetches it with npm")
    return [
        "--from",
        "outside.example.com/team",
        "--helm",
        HELM,
        "--",
        "-f",
        values,
        "--kube-version",
        "1.32.0",
        *more,
    ]


def test_the_images_of_a_release_are_listed_without_a_doubt(tmp_path: Path, values: Path) -> None:
    done = run(tmp_path, "images", *helm(values))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == sorted(EVERYTHING)


def test_the_images_of_jobs_are_listed_too(tmp_path: Path) -> None:
    jobs = ROOT / "helm/lipserve/ci/jobs-values.yaml"
    done = run(tmp_path, "images", *helm(jobs))
    assert done.returncode == 0, done.stderr
    assert {"docker.io/library/nats:2.15.1-alpine", "outside.example.com/team/lipserve-jobs:0.1.0"} <= set(
        done.stdout.splitlines()
    )
    made = json.loads(run(tmp_path, "bill", *helm(jobs)).stdout)
    references = [one["bom-ref"] for one in made["components"] if "bom-ref" in one]
    assert len(references) == len(set(references))
    assert {one["name"] for one in made["components"]} >= {"nats-py", "numpy"}


def test_an_image_that_no_mirror_is_put_before_is_refused(tmp_path: Path, values: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("envoy: {image: {registry: quay.io}}\n")
    done = run(tmp_path, "images", *helm(values, "--values", str(own)))
    assert done.returncode == 5
    assert "quay.io/envoyproxy/envoy:v1.40.0: an image with a registry of its own" in done.stderr


def test_images_that_are_nowhere_are_refused(tmp_path: Path, values: Path) -> None:
    _, _, *words = helm(values)
    done = run(tmp_path, "images", *words)
    assert done.returncode == 5
    assert (
        "lipserve-export:26.11-py3, lipserve-server:0.1.0: nothing says where it is outside. Give"
        in done.stderr
    )


def test_what_is_carried_arrives_whole(tmp_path: Path, values: Path, skopeo: Path) -> None:
    export(tmp_path / "models")
    carry = tmp_path / "carry"
    saved = run(tmp_path, "save", carry, "--models", tmp_path / "models", "--skopeo", skopeo, *helm(values))
    assert saved.returncode == 0, saved.stderr
    with tarfile.open(carry / "models.tar") as archive:
        assert f"./{LEAVES[0]}/1/manifest.json" in archive.getnames()
    sums = dict(reversed(line.split("  ")) for line in (carry / "SHA256SUMS").read_text().splitlines())
    assert {"images.json", "models.tar", "sbom.cdx.json"} < sums.keys()
    assert len(sums) == 3 + len(EVERYTHING)
    assert all(file_sha256(carry / name) == digest for name, digest in sums.items())
    loaded = run(tmp_path, "load", carry, "inside.example.com/team", "--skopeo", skopeo)
    assert loaded.returncode == 0, loaded.stderr
    for outside, inside in EVERYTHING.items():
        name = f"inside.example.com/team/{inside}".translate(str.maketrans("/:@", "___"))
        assert (tmp_path / "shelf" / name).read_text() == f"image {outside}"
    again = run(tmp_path, "save", carry, "--skopeo", skopeo, *helm(values))
    assert again.returncode == 0, again.stderr


def test_what_was_changed_on_its_way_is_refused(tmp_path: Path, values: Path, skopeo: Path) -> None:
    carry = tmp_path / "carry"
    run(tmp_path, "save", carry, "--skopeo", skopeo, *helm(values))
    (image,) = carry.glob("images/*envoy*")
    image.write_text("another image")
    done = run(tmp_path, "load", carry, "inside.example.com", "--skopeo", skopeo)
    assert done.returncode == 5
    assert "was changed on its way" in done.stderr


def test_the_bill_names_images_packages_and_models(tmp_path: Path, values: Path) -> None:
    export(tmp_path / "models")
    done = run(tmp_path, "bill", "--models", tmp_path / "models", *helm(values))
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    parts: dict[str, list[Any]] = {}
    for part in made["components"]:
        parts.setdefault(part["type"], []).append(part)
    assert {f"{one['name']}:{one['version']}" for one in parts["container"]} == set(EVERYTHING)
    numpy = [one for one in parts["library"] if one["name"] == "numpy"]
    assert {one["purl"] for one in numpy} == {"pkg:pypi/numpy@1.26.4"}
    assert all(len(one["hashes"]) == 1 for one in parts["library"])
    graphs = {one["name"]: one["hashes"][0]["content"] for one in parts["machine-learning-model"]}
    assert graphs[f"{LEAVES[0]}/model.onnx"] == file_sha256(tmp_path / "models" / LEAVES[0] / "1/model.onnx")
    references = [one["bom-ref"] for one in made["components"] if "bom-ref" in one]
    assert len(references) == len(set(references))
    assert run(tmp_path, "bill", "--models", tmp_path / "models", *helm(values)).stdout == done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["images", "--helm", "/nowhere/helm"],
            "/nowhere/helm cannot be run: No such file or directory. Install",
        ),
        (
            [
                "save",
                "carry",
                "--models",
                "none",
                "--from",
                "r.example.com",
                "--helm",
                str(HELM),
                "--",
                "--kube-version",
                "1.32.0",
            ],
            "no model",
        ),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, words: list[str], told: str) -> None:
    if str(HELM) in words and not HELM.is_file():
        pytest.skip("Helm 3.6.2 is absent: `make chart-test` fetches it with npm")
    done = run(tmp_path, *words)
    assert (done.returncode, done.stdout) == (5, "")
    assert told in done.stderr
