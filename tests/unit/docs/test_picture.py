"""The picture of docs/architecture.md, and the links of the site."""

from __future__ import annotations

import re
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from docs.site_links import on_page_markdown
from lipserve.contracts import MODELS, PIPELINES
from observe import picture


def test_the_picture_shows_every_model_and_tensor_of_the_ensembles() -> None:
    drawn = " ".join(ElementTree.fromstring(picture.picture()).itertext())
    words = set(re.findall(r"\w+", drawn))
    assert set(MODELS) <= words
    for pipeline in PIPELINES.values():
        flows = {flow for step in pipeline.ensemble.steps for flow in step.inputs.values()}
        assert flows <= words


def test_a_picture_that_is_stale_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert picture.main(["--check"]) == 0
    monkeypatch.setattr(picture, "LINE", picture.LINE + 1)
    assert picture.main(["--check"]) == 1


def test_links_out_of_the_documentation_become_names(caplog: pytest.LogCaptureFixture) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="operations/pod.md"))
    text = "[a](../export.md#x) [b](../../weights/README.md) [c](front.md) [d](https://a.example/b)"
    assert on_page_markdown(text, page) == text.replace(
        "[b](../../weights/README.md)", "b (`weights/README.md`)"
    )
    assert not caplog.records
    on_page_markdown("[e](../../no/such.md)", page)
    assert "no/such.md, which is not there" in caplog.text
