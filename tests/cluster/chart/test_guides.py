"""Every block of values, and every release that a page of the operations installs, is one that Helm takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.scenarios import laid
from tests.cluster.values import SCHEMA

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted((ROOT / "docs/operations").glob("*.md"))
TOP = set(SCHEMA["properties"])

Object = dict[str, Any]
Render = Callable[..., list[Object]]


def blocks(page: Path, language: str) -> list[str]:
    """Return the code blocks of a page, those inside lists too."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def values_of(text: str) -> list[Object]:
    """Return the chart's values in a block: the block itself, or what Flux or Argo CD would give to Helm."""
    found = []
    for made in yaml.safe_load_all(text):
        if not isinstance(made, dict):
            continue
        if made.get("kind") == "HelmRelease":
            found.append(made["spec"]["values"])
        elif made.get("kind") == "Application":
            found.append(made["spec"]["source"]["helm"]["valuesObject"])
        elif set(made) <= TOP:
            found.append(made)
    return found


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """Yield the words of each command of a program, up to what is piped, put behind or commented."""
    for text in blocks(page, "sh"):
        if "<<END" in text:
            text = re.sub(r"<<END\n.*?\nEND\n", "\n", text, flags=re.DOTALL)
        for line in text.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|\|?|;(?= )", line):
                if part.split()[:1] == [program]:
                    yield [word for word in shlex.split(part, comments=True)[1:] if word != "&"]


def named(page: Path) -> dict[str, Object]:
    """Return the values files that a page shows, by the name in their first line."""
    found = {}
    for text in blocks(page, "yaml"):
        if name := re.match(r"# (\S+\.yaml)\n", text):
            found[name[1]] = yaml.safe_load(text)
    return found


VALUES = [(page.name, made) for page in PAGES for text in blocks(page, "yaml") for made in values_of(text)]
HELM = [(page, words) for page in PAGES for words in commands(page, "helm")]


def test_the_pages_have_what_is_tested() -> None:
    assert len(VALUES) >= 12
    assert len([words for _, words in HELM if words[0] in ("install", "upgrade")]) >= 8


@pytest.mark.parametrize(("page", "values"), VALUES, ids=[page for page, _ in VALUES])
def test_values_that_a_page_shows_are_taken(render: Render, page: str, values: Object) -> None:
    assert render(values)


@pytest.mark.parametrize(("page", "words"), HELM, ids=[f"{page.name}-{words[0]}" for page, words in HELM])
def test_a_release_that_a_page_installs_is_rendered(render: Render, page: Path, words: list[str]) -> None:
    assert words[0] in ("install", "upgrade", "rollback", "uninstall", "test", "package", "list")
    if words[0] not in ("install", "upgrade"):
        return
    assert words[1] == "lipserve"
    assert words[2] in ("helm/lipserve", "carry/lipserve-0.1.0.tgz")
    values: Object = {}
    for option, given in pairwise(words):
        if option == "-f":
            path = ROOT / given
            values = laid(values, yaml.safe_load(path.read_text()) if path.is_file() else shown(page, given))
        elif option == "--set":
            key, _, text = given.partition("=")
            for part in reversed(key.split(".")):
                text = {part: yaml.safe_load(text) if isinstance(text, str) else text}
            values = laid(values, text)
    assert render(values)


def shown(page: Path, name: str) -> Object:
    """Return the values file of that name on a page; a100.yaml is the one of A100 mode."""
    if name == "a100.yaml":
        return dict(yaml.safe_load((ROOT / "helm/lipserve/ci/a100-values.yaml").read_text()))
    return dict(named(page)[name])
