"""docs/operations/a100-store.md: what it applies is valid, and fits what the chart makes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lipserve_cli.main import parser

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs/operations/a100-store.md").read_text()
VALUES = yaml.safe_load((ROOT / "helm/lipserve/ci/a100-values.yaml").read_text())
Object = dict[str, Any]


@pytest.fixture
def applied() -> list[Object]:
    (block,) = re.findall(r"kubectl apply .*<<END\n(.*?)\nEND\n", GUIDE, re.DOTALL)
    return list(yaml.safe_load_all(block))


@pytest.mark.parametrize("version", ["1.29", "1.37"])
def test_the_claim_and_the_pod_that_copies_are_valid(
    applied: list[Object], version: str, validate: Callable[[Object, str], None]
) -> None:
    for made in applied:
        validate(made, version)


def test_the_claim_is_the_one_that_the_release_reads(applied: list[Object]) -> None:
    claim, pod = applied
    assert claim["metadata"]["name"] == VALUES["store"]["pvc"]["existingClaim"]
    assert claim["spec"]["accessModes"] == VALUES["store"]["pvc"]["accessModes"]
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert pod["spec"]["securityContext"]["runAsUser"] == 1000


def test_the_log_that_it_follows_is_of_the_job(render: Callable[..., list[Object]]) -> None:
    (job,) = [made for made in render(VALUES) if made["kind"] == "Job"]
    (selector,) = re.findall(r"logs --follow --selector (\S+)=(\S+)", GUIDE)
    assert job["spec"]["template"]["metadata"]["labels"][selector[0]] == selector[1]


def test_what_it_exports_is_served_by_every_tier() -> None:
    lines = GUIDE.replace("\\\n", " ").splitlines()
    exports = [line.split() for line in lines if line.startswith("lipserve export ")]
    parsed = [parser(words[1:]).parse_args(words[1:]) for words in exports]
    folders = {str(args.repository) for args in parsed if getattr(args, "repository", None)}
    assert folders == {"a100-models"}
    assert [words[2] for words in exports] == ["all", "fetch", "fetch", "fetch", "latentsync", "verify"]
