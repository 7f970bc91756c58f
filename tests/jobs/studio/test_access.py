"""Everybody can use the page: axe on every view in both themes, narrow pages, and who must sign in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from lipserve_jobs.gateway.settings import Settings
from lipserve_jobs.queue.broker import BrokerOptions
from lipserve_jobs.records import Fault
from lipserve_jobs.records.tenant import LOCAL
from tests.jobs.studio.conftest import Visit, submit
from tests.jobs.studio.test_compose import TWO
from tests.support.browser import PHONE, apart, choose, holds, is_fine, visit
from tests.support.gateways import Gateway, write_tenants
from tests.support.local_service import LocalService
from tests.support.nats import NatsServer

Open = Callable[[Page, LocalService, Path, Path], None]


def empty(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    choose(page, "video", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"})
    expect(page.locator(".notice")).to_be_visible()


def composed(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    """Two files, two faces, two cues that clash."""
    choose(page, "video", clip)
    choose(page, "speech", speech)
    holds(page, "import('/js/draft.js').then(({ draft }) => draft.ready)")
    with page.expect_response("**/v1/jobs") as sent:
        page.get_by_role("button", name="Find everybody").click()
    id = sent.value.json()["id"]
    apart(lambda: service.hand.finish(LOCAL, id, json.dumps(TWO).encode()))
    expect(page.locator(".box")).to_have_count(2)
    for _ in range(2):
        page.get_by_role("button", name="Add a cue").click()
    expect(page.locator(".cue-wrong .notice")).to_have_count(2)


def options(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    choose(page, "video", clip)
    choose(page, "speech", speech)
    page.locator(".segment", has_text="Finest").click()
    page.get_by_role("button", name="More options").click()
    expect(page.get_by_label("Steps")).to_be_visible()


def progress(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    id = submit(service, clip)
    apart(lambda: service.hand.change(LOCAL, id, state="making", frames=200, frames_done=50))
    page.goto(f"/#/jobs/{id}")
    expect(page.locator(".progress-words")).to_contain_text("50 of 200")


def failed(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    id = submit(service, clip)
    fault = Fault(code="no_face", message="There is no face in the video.", remedy="Choose another.")
    apart(lambda: service.hand.change(LOCAL, id, state="failed", ended=1.0, error=fault))
    page.goto(f"/#/jobs/{id}")
    page.locator(".notice summary").click()


def result(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    id = submit(service, clip, options={"on_no_face": "passthrough"})
    with service.worker():
        page.goto(f"/#/jobs/{id}")
        expect(page.locator(".origin .signed")).to_have_attribute("data-signed", "false")
    page.get_by_role("button", name="Loupe", exact=True).click()
    page.locator(".origin summary").click()


def listed(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    failed(page, service, clip, speech)
    submit(service, clip, name="A film with a name that is much too long for the width of any phone " * 2)
    page.goto("/#/jobs")
    expect(page.locator(".job-row").nth(1)).to_be_visible()


def erasing(page: Page, service: LocalService, clip: Path, speech: Path) -> None:
    failed(page, service, clip, speech)
    page.get_by_role("button", name="Erase").click()
    expect(page.get_by_role("dialog")).to_be_visible()


VIEWS: list[Open] = [empty, composed, options, progress, failed, result, listed, erasing]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.__name__)
def test_a_view_is_clean_and_fits(
    visitor: Visit, service: LocalService, clip: Path, speech: Path, view: Open
) -> None:
    page = visitor()
    view(page, service, clip, speech)
    is_fine(page)
    page.set_viewport_size(PHONE["viewport"])
    is_fine(page)


@pytest.mark.parametrize(
    "view", [composed, *(pytest.param(view, marks=pytest.mark.whole) for view in VIEWS if view != composed)]
)
def test_a_view_is_clean_and_fits_on_a_phone(
    visitor: Visit, service: LocalService, clip: Path, speech: Path, view: Open
) -> None:
    page = visitor(**PHONE)
    view(page, service, clip, speech)
    is_fine(page)


def test_the_switch_turns_the_theme_and_it_stays(visitor: Visit) -> None:
    page = visitor(color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    page.wait_for_selector(".drop")
    light = page.evaluate(colour)
    page.get_by_role("button", name="Dark colours").click()
    dark = page.evaluate(colour)
    assert dark != light
    page.reload()
    expect(page.get_by_role("button", name="Light colours")).to_be_visible()
    assert page.evaluate(colour) == dark


@pytest.fixture
def tenants(nats: NatsServer, tmp_path: Path) -> Iterator[Gateway]:
    path = write_tenants(tmp_path / "tenants.yaml", acme={})
    settings = Settings(BrokerOptions(nats.url, patience=10), str(tmp_path / "store"), tenants=path)
    with Gateway(settings) as running:
        yield running


def test_who_is_asked_for_a_key_signs_in_and_out(browser: Browser, tenants: Gateway) -> None:
    with visit(browser, tenants.url) as page:
        page.goto("/#/jobs")
        expect(page.get_by_label("API key")).to_be_focused()
        is_fine(page)
        page.keyboard.type("key-nobody")
        page.keyboard.press("Enter")
        expect(page.locator(".notice")).to_have_attribute("data-code", "wrong_key")
        page.get_by_label("API key").fill("key-acme")
        page.keyboard.press("Enter")
        expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
        page.reload()
        expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
        page.get_by_role("button", name="Sign out acme").click()
        expect(page.get_by_label("API key")).to_be_visible()
