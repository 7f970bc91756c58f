"""A job is put together: faces, cues, options, by mouse and by keyboard alone."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FileChooser, Locator, Page, expect

from lipserve_jobs.records import JobRequest
from lipserve_jobs.records.tenant import LOCAL
from lipserve_jobs.store import Keys
from tests.jobs.studio.conftest import Visit
from tests.support.browser import apart, choose, holds
from tests.support.local_service import LocalService
from tests.support.waiting import until

TWO = {
    "seconds": 0.5,
    "shots": [{"begin": 0.0, "end": 0.5}],
    "people": [
        {
            "number": number,
            "faces": [number],
            "begin": 0.0,
            "end": 0.5,
            "seen": 0.5,
            "speaking": 0.0,
            "box": box,
        }
        for number, box in ((1, [20, 30, 60, 80]), (2, [70, 30, 110, 80]))
    ],
    "turns": [],
}


@pytest.fixture
def page(visitor: Visit, clip: Path, speech: Path) -> Page:
    """The page with a video and a speech that have been sent."""
    page = visitor()
    choose(page, "video", clip)
    page.wait_for_selector(".frame video")
    choose(page, "speech", speech)
    holds(page, "import('/js/draft.js').then(({ draft }) => draft.ready && Boolean(draft.speech.waveform))")
    return page


def made(page: Page, service: LocalService) -> dict[str, Any]:
    """Send the job, and return its request as the service has it."""
    page.get_by_role("button", name="Make the video").click()
    page.wait_for_selector(".progress")
    id = page.url.rpartition("/")[2]
    path = Path(service.settings.store) / Keys(LOCAL, id).request
    request = JobRequest.of(json.loads(path.read_text()))
    return request.model_dump(mode="json", exclude_unset=True)


def number(box: Locator, label: str | re.Pattern[str], value: str) -> None:
    box.get_by_label(label).fill(value)
    box.get_by_label(label).press("Tab")


def test_the_options_of_the_page_are_those_of_the_job(page: Page, service: LocalService) -> None:
    page.get_by_label("Everybody").check()
    page.get_by_label("Strength").fill("1.2")
    page.locator(".segment", has_text="Lively").click()
    page.get_by_label("If the lengths differ").select_option("freeze")
    page.get_by_role("button", name="More options").click()
    more = page.get_by_role("dialog")
    more.get_by_label("If there is no face").select_option("passthrough")
    number(more, "Shift of the mouth", "80")
    number(more, "Loudness of the result", "-23")
    more.get_by_label("Keep the sound of the video").check()
    number(more, re.compile("^Visible mark"), "AI")
    number(more, "Invisible mark", "5a1f03c2")
    number(more, "Who agrees", "Ada Example")
    number(more, "When", "2026-11-30")
    number(more, "For what", "a test")
    more.get_by_label("Priority").select_option("high")
    more.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="More options (8 changed)")).to_be_visible()
    page.get_by_label("Name").fill("My film")
    request = made(page, service)
    assert request["options"] == {
        "face": "all",
        "strength": 1.2,
        "style": "lively",
        "on_length_mismatch": "freeze",
        "on_no_face": "passthrough",
        "sync_offset_ms": 80,
        "mark": "AI",
        "invisible_mark": "5a1f03c2",
        "consent": {"who": "Ada Example", "when": "2026-11-30", "purpose": "a test"},
    }
    assert request["tier"] == "lipwarp"
    assert request["background"] == "video"
    assert request["loudness"] == -23
    assert request["priority"] == "high"
    assert request["name"] == "My film"


def test_another_tier_takes_no_options_of_the_first(page: Page, service: LocalService) -> None:
    page.get_by_label("Strength").fill("0.7")
    page.locator(".segment", has_text="Finest").click()
    expect(page.get_by_label("Strength")).to_have_count(0)
    page.get_by_role("button", name="More options").click()
    number(page.get_by_role("dialog"), "Steps", "8")
    page.keyboard.press("Escape")
    request = made(page, service)
    assert (request["tier"], request["options"]) == ("latentsync", {"steps": 8})


def test_only_tiers_that_the_service_has_are_offered(
    visitor: Visit, service: LocalService, clip: Path, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipserve_jobs.gateway.offer.FRESH_SECONDS", 0.0)

    def tell() -> None:
        leaving.enter_context(service.hand.tiers("latentsync", "wav2lip"))

    page = visitor()
    choose(page, "video", clip)
    page.wait_for_selector(".frame video")
    choose(page, "speech", speech)
    tiers = page.get_by_role("radiogroup", name="How it is made")
    expect(tiers.locator(".segment")).to_have_text(["Natural", "Painted", "Finest"])  # no worker has told
    with ExitStack() as leaving:
        apart(tell)
        leaving.callback(apart, leaving.pop_all().close)
        expect(tiers.locator(".segment")).to_have_text(["Painted", "Finest"])
        expect(tiers.get_by_label("Painted")).to_be_checked()
        expect(page.get_by_label("Strength")).to_have_count(0)
        assert made(page, service)["tier"] == "wav2lip"
        page.get_by_role("link", name="New").click()
        expect(tiers.locator(".segment")).to_have_text(["Painted", "Finest"])


def test_who_is_looked_for_by_the_service_settles_the_length(page: Page, service: LocalService) -> None:
    page.get_by_label("If the lengths differ").select_option("freeze")
    page.get_by_label("Whoever speaks").check()
    expect(page.get_by_text("The result lasts as long as the video.")).to_be_visible()
    assert made(page, service)["options"] == {"face": "speaking"}


def test_files_that_were_erased_with_a_job_are_sent_again_for_the_next(
    page: Page, service: LocalService
) -> None:
    first = made(page, service)
    id = page.url.rpartition("/")[2]
    with service.client() as client:
        assert client.delete(f"/v1/jobs/{id}?erase=true").status_code == 204
    page.get_by_role("link", name="New").click()
    second = made(page, service)
    assert second["video"] != first["video"]
    assert id not in page.url


def test_everybody_is_found_numbered_and_chosen(page: Page, service: LocalService) -> None:
    with page.expect_response("**/v1/jobs") as sent:
        page.get_by_role("button", name="Find everybody").click()
    id = sent.value.json()["id"]
    expect(page.get_by_text("Looking through the video")).to_be_visible()
    apart(lambda: service.hand.finish(LOCAL, id, json.dumps(TWO).encode()))
    boxes = page.locator(".box")
    expect(boxes).to_have_text(["1", "2"])
    page.get_by_role("button", name="Choose person 2").click()
    expect(page.locator(".face", has_text="Person 2").get_by_role("radio")).to_be_checked()
    assert made(page, service)["options"]["face"] == "90,55"


def test_cues_are_set_by_keys_and_by_dragging(page: Page, service: LocalService) -> None:
    page.evaluate("import('/js/draft.js').then(({ draft }) => (draft.video.media.duration = 10))")
    page.get_by_role("button", name="Add a cue").click()
    number(page.locator(".cues"), "Cue 1 starts at", "2")
    number(page.locator(".cues"), "Cue 1 ends at", "5")
    block, start, end = (
        page.get_by_role("slider", name=name, exact=True)
        for name in ("Cue 1", "Start of cue 1", "End of cue 1")
    )
    start.press("ArrowRight")
    end.press("Shift+ArrowRight")
    expect(start).to_have_attribute("aria-valuetext", "0:02.1")
    expect(end).to_have_attribute("aria-valuenow", "6")
    block.press("ArrowLeft")
    expect(block).to_have_attribute("aria-valuetext", "0:02.0 to 0:05.9")
    expect(block).to_be_focused()
    track = page.locator(".track").bounding_box()
    place = block.bounding_box()
    assert track
    assert place
    across, down = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(across, down)
    page.mouse.down()
    page.mouse.move(across + track["width"] * 0.1, down, steps=3)
    page.mouse.up()
    expect(block).to_have_attribute("aria-valuetext", "0:03.0 to 0:06.9")
    number(page.locator(".cues"), "Cue 1 begins at", "0.5")
    request = made(page, service)
    [cue] = request["cues"]
    assert cue == {
        "start": pytest.approx(3, abs=0.02),
        "end": pytest.approx(6.9, abs=0.02),
        "face": "largest",
        "offset": 0.5,
    }
    assert "face" not in request["options"]


def test_cues_that_clash_are_told_beside_them_and_not_sent(page: Page) -> None:
    page.evaluate("import('/js/draft.js').then(({ draft }) => (draft.video.media.duration = 10))")
    for _ in range(2):
        page.get_by_role("button", name="Add a cue").click()
    expect(page.locator(".cue-wrong .notice")).to_have_count(2)
    expect(page.locator(".cue-wrong .notice").first).to_have_attribute("data-code", "cue_clash")
    expect(page.get_by_role("button", name="Make the video")).to_be_disabled()
    number(page.locator(".cues"), "Cue 2 starts at", "20")
    expect(page.locator(".cue-wrong .notice")).to_have_attribute("data-code", "cue_order")
    page.get_by_role("button", name="Remove cue 2").click()
    expect(page.get_by_role("button", name="Add a cue")).to_be_focused()
    expect(page.locator(".cue-wrong .notice")).to_have_count(0)
    expect(page.get_by_role("button", name="Make the video")).to_be_enabled()


def test_a_cue_may_have_a_speech_of_its_own(page: Page, service: LocalService, speech: Path) -> None:
    page.get_by_role("button", name="Add a cue").click()
    page.get_by_label("Speech of cue 1").select_option("own")
    expect(page.get_by_role("button", name="Make the video")).to_be_disabled()
    page.set_input_files(".cue-own input[type=file]", speech)
    expect(page.locator(".cue-own .state")).to_have_attribute("data-state", "done")
    request = made(page, service)
    assert request["cues"][0]["speech"] != request["speech"]


def test_a_draft_outlives_a_reload(page: Page, service: LocalService) -> None:
    page.get_by_label("Strength").fill("0.8")
    page.get_by_role("button", name="Add a cue").click()
    page.reload()
    expect(page.locator(".cue")).to_have_count(1)
    expect(page.get_by_label("Strength")).to_have_value("0.8")
    holds(page, "import('/js/draft.js').then(({ draft }) => draft.ready)")
    assert made(page, service)["options"] == {"strength": 0.8}


def test_a_job_is_made_with_the_keyboard_alone(
    visitor: Visit, service: LocalService, clip: Path, speech: Path
) -> None:
    page = visitor()
    opened: list[FileChooser] = []
    page.on("filechooser", lambda chooser: opened.append(chooser))

    def reach(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate(
                "document.activeElement.matches('button, a, input') ? document.activeElement.textContent : ''"
            )
            if name in focused:
                return
        raise AssertionError(f"{name} is not reached")

    page.wait_for_selector(".drop")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for file in (clip, speech):
        reach("Choose a file")
        page.keyboard.press("Enter")
        until(lambda: page.evaluate("true") and opened, "a chooser of files opens")
        opened.pop().set_files(file)
        holds(page, f"document.querySelector('main').textContent.includes('{file.name}')")
    holds(page, "import('/js/draft.js').then(({ draft }) => draft.ready)")
    reach("Make the video")
    page.keyboard.press("Enter")
    page.wait_for_selector(".progress")
    reach("Cancel the job")
    page.keyboard.press("Enter")
    expect(page.locator(".badge")).to_have_attribute("data-state", "cancelled")
