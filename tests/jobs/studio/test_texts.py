"""The texts of the page: every language has every one, and the page uses every one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lipserve_jobs.gateway.page import STUDIO

PLURALS = {"zero", "one", "two", "few", "many", "other"}
LANGUAGES = json.loads((STUDIO / "texts/languages.json").read_text())
SCRIPTS = {path.name: path.read_text() for path in sorted(STUDIO.glob("js/*.js"))}
CALL = re.compile(r"\bt\(")
WORDS = re.compile(r'"([\w.]+)"|`([\w.${}()? :\"]+)`')
SENTENCE = re.compile(r'(?<![\w.])"[A-Z][a-z]+ [a-z]+[^"]*"|>[A-Za-z][a-z]+ [a-z]+<')


def flat(texts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in texts.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and not set(value) <= PLURALS:
            yield from flat(value, f"{key}.")
        else:
            yield key, value


def texts(language: str) -> dict[str, Any]:
    return dict(flat(json.loads((STUDIO / f"texts/{language}.json").read_text())))


def asked() -> tuple[set[str], list[re.Pattern[str]]]:
    """Return the keys that the page asks for, and patterns of those that it puts together."""
    exact = set(re.findall(r'data-text="([\w.]+)"', (STUDIO / "index.html").read_text()))
    patterns = []
    for script in SCRIPTS.values():
        for start in (found.end() for found in CALL.finditer(script)):
            for plain, built in WORDS.findall(first_argument(script, start)):
                if plain:
                    exact.add(plain)
                else:
                    parts = re.split(r"\$\{[^}]*\}", built)
                    patterns.append(re.compile(r"[\w+]+".join(map(re.escape, parts))))
    return exact, patterns


def first_argument(script: str, start: int) -> str:
    depth = 0
    for end in range(start, len(script)):
        letter = script[end]
        if not depth and letter in ",)":
            return script[start:end]
        depth += (letter in "([{") - (letter in ")]}")
    raise AssertionError("a call without an end")


def test_every_language_has_the_same_texts_with_the_same_places() -> None:
    def shape(language: str) -> dict[str, list[str]]:
        return {key: sorted(set(re.findall(r"\{\w+\}", str(text)))) for key, text in texts(language).items()}

    assert len(LANGUAGES) >= 2
    assert len(shape("en")) > 250
    for language in LANGUAGES:
        assert shape(language) == shape("en"), language


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_empty_and_plurals_are_those_of_the_language(language: str) -> None:
    for key, text in texts(language).items():
        if isinstance(text, dict):
            assert set(text) == {"one", "other"}, key
            assert all(text.values()), key
        else:
            assert text.strip() == text != "", key


def test_every_text_is_used_and_every_text_that_is_asked_for_is_there() -> None:
    exact, patterns = asked()
    known = set(texts("en"))
    # A branch of a choice such as t(a ? "x.y" : "x.z") stands among the words; names of fields have no dot.
    assert {key for key in exact if "." in key} <= known
    unused = {key for key in known - exact if not any(pattern.fullmatch(key) for pattern in patterns)}
    assert unused == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_sentence_stands_in_the_code(name: str) -> None:
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", SCRIPTS[name], flags=re.DOTALL)
    assert SENTENCE.findall(code) == []


def test_the_page_brings_everything_itself_and_nothing_inline() -> None:
    page = (STUDIO / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page) == []
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(named) >= 10
    for name in named:
        assert (STUDIO / name).is_file(), name
    for name, script in SCRIPTS.items():
        for module in re.findall(r'from "\./([\w.]+)"', script):
            assert module in SCRIPTS, f"{name} imports {module}"
        assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", script) == [], name
        assert script.count("\n") <= 220, name


def test_every_icon_is_used() -> None:
    icons = re.findall(r'<symbol id="(\w+)"', (STUDIO / "icons.svg").read_text())
    code = "".join(SCRIPTS.values())
    assert len(icons) > 15
    assert [icon for icon in icons if f'"{icon}"' not in code] == []
    assert set(re.findall(r'\bicon\("(\w+)"\)', code)) <= set(icons)
