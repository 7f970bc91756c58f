"""Debian's Chromium, driven by Playwright, on the page of jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.support.waiting import until

T = TypeVar("T")

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 120_000  # so long that nothing but a hang takes as long
expect.set_options(timeout=PATIENCE_MS)
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
REFUSED = "Failed to load resource"  # what a browser says of every answer that is an error


def apart(call: Callable[[], T]) -> T:
    """Return what a call gives that runs an event loop of its own: this thread runs Playwright's."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a browser; the test is skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Give a page of a visitor of their own; it must say nothing on its console, but of refused answers."""
    context: BrowserContext = browser.new_context(base_url=url, **{"locale": "en", **options})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    said: list[str] = []

    def hear(message: Any) -> None:
        if message.type in ("error", "warning") and REFUSED not in message.text:
            said.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page
        assert said == []
    finally:
        context.close()


def choose(page: Page, kind: str, *file: Path | dict[str, Any]) -> None:
    """Choose a file as the video or the speech."""
    page.set_input_files(f"[data-kind={kind}] input[type=file]", list(file))


def holds(page: Page, expression: str) -> None:
    """Wait until an expression, which may be a promise, is true on the page.

    Playwright's own way evaluates texts inside the page, which the page's policy forbids.
    """
    until(lambda: page.evaluate(expression), expression)


def found_by_axe(page: Page) -> list[str]:
    """Return what axe finds wrong: the rule, and where."""
    violations = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in violations for node in rule["nodes"]]


def is_fine(page: Page) -> None:
    """Hold a view to axe in both themes, and to the width of the window."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert found_by_axe(page) == [], theme
    over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(over) <= 0, page.url
