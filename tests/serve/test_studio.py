"""The main path on the page, with a real queue, store, gateway, worker and Triton."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from demo import portrait
from lipserve.media.probe import probe
from tests.support.browser import PHONE, choose, chromium, holds, is_fine, visit
from tests.support.local_service import LocalService
from tests.support.nats import NatsServer
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve
PLAYED = "[...document.querySelectorAll('.pair video')].every((video) => video.currentTime > 0.1)"


def test_from_two_files_to_a_result_that_plays(server: RunningServer, speech: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(portrait.clip(1.0, (256, 256)))
    with (
        chromium() as browser,
        NatsServer(tmp_path / "nats") as nats,
        LocalService(nats.url, tmp_path) as service,
        service.worker(url=server.url),
        visit(browser, service.url) as page,
    ):
        page.goto("/")
        choose(page, "video", clip)
        choose(page, "speech", speech)
        page.get_by_role("button", name="Find everybody").click()
        page.locator(".face", has_text="Person 1").click()
        expect(page.locator(".box[aria-pressed=true]")).to_have_text("1")
        page.get_by_label("If the lengths differ").select_option("cut")
        page.get_by_role("button", name="Make the video").click()
        expect(page.locator(".badge")).to_have_attribute("data-state", "done")
        expect(page.locator(".card", has_text="Made").locator(".card-value")).to_have_text("100%")
        page.get_by_role("button", name="Play").click()
        holds(page, PLAYED)
        page.get_by_role("button", name="Contact sheet").click()
        expect(page.locator(".sheet-picture")).to_be_visible()
        is_fine(page)
        page.set_viewport_size(PHONE["viewport"])
        is_fine(page)
        id = page.url.rpartition("/")[2]
        film = tmp_path / "made.mp4"
        film.write_bytes(httpx.get(f"{service.url}/v1/jobs/{id}/result", trust_env=False).content)
        assert probe(film).frames == 25
