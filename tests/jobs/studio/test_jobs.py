"""Jobs on the page: how far they are, their ends, and the list of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from lipserve_jobs.records import Fault
from lipserve_jobs.records.tenant import LOCAL
from tests.jobs.studio.conftest import Visit, submit
from tests.support.browser import apart, holds
from tests.support.local_service import LocalService

PAIR = "[...document.querySelectorAll('.pair video')]"
SPOT = "document.querySelector('.glasses canvas').getContext('2d').getImageData(240, 150, 1, 1).data.join()"


def state(service: LocalService, id: str) -> str:
    with service.client() as client:
        found: str = client.get(f"/v1/jobs/{id}").json().get("state", "gone")
        return found


def test_progress_is_shown_as_it_happens_and_cancelling_is_at_once(
    visitor: Visit, service: LocalService, job: str
) -> None:
    page = visitor(f"#/jobs/{job}")
    expect(page.locator(".progress-words")).to_have_text("Waiting for its turn")
    apart(
        lambda: service.hand.change(
            LOCAL, job, state="making", frames=200, frames_done=50, pieces=4, planned=1_000.0, touched=1_010.0
        )
    )
    expect(page.locator(".progress-words")).to_have_text("25% · 50 of 200 pictures")
    expect(page.locator(".progress-left")).to_contain_text("left")
    expect(page.locator("#polite")).to_contain_text("25%")
    expect(page.locator(".progress [aria-current=step]")).to_have_text("Making")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".notice")).to_have_attribute("data-code", "cancelled")
    assert state(service, job) == "cancelled"
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".badge")).to_have_attribute("data-state", "queued")
    assert state(service, job) == "queued"


def test_a_job_that_is_erased_elsewhere_is_said_to_be_erased(
    visitor: Visit, service: LocalService, job: str
) -> None:
    page = visitor(f"#/jobs/{job}")
    expect(page.locator(".progress")).to_be_visible()
    with service.client() as client:
        assert client.delete(f"/v1/jobs/{job}?erase=true").status_code == 204
    expect(page.get_by_role("heading", name="This job is gone")).to_be_visible()
    expect(page.locator(".job-body")).to_contain_text("It was erased while it was at work")
    expect(page.locator("#polite")).to_contain_text("It was erased while it was at work")
    page.reload()
    expect(page.locator(".job-body")).to_contain_text("It was erased, or its time was over.")


def test_a_lost_connection_is_told_and_the_job_is_there_after_it(
    visitor: Visit, service: LocalService, job: str
) -> None:
    page = visitor(f"#/jobs/{job}")
    expect(page.locator(".progress")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator(".lost")).to_be_visible()
    fault = Fault(code="no_face", message="There is no face in the video.", remedy="Choose another.")
    apart(lambda: service.hand.change(LOCAL, job, state="failed", ended=1.0, error=fault))
    page.context.set_offline(False)
    expect(page.locator(".notice")).to_have_attribute("data-code", "no_face")
    expect(page.locator(".lost")).to_be_hidden()


def test_a_job_goes_on_while_the_page_is_reloaded(visitor: Visit, service: LocalService, job: str) -> None:
    page = visitor(f"#/jobs/{job}")
    expect(page.locator(".progress")).to_be_visible()
    page.reload()
    apart(lambda: service.hand.change(LOCAL, job, state="joining"))
    expect(page.locator(".progress-words")).to_have_text("Joining and signing the result")


def test_where_no_events_come_the_page_asks(visitor: Visit, service: LocalService, job: str) -> None:
    page = visitor()
    page.route("**/events", lambda route: route.abort())
    page.goto(f"/#/jobs/{job}")
    expect(page.locator(".progress-words")).to_have_text("Waiting for its turn")
    apart(lambda: service.hand.change(LOCAL, job, state="preparing"))
    expect(page.locator(".progress-words")).to_have_text("Looking at the video and the speech")


def test_a_failed_job_says_its_remedy_in_the_language_of_the_page(
    visitor: Visit, service: LocalService, job: str
) -> None:
    fault = Fault(code="invalid_video", message="The file has no video.", remedy="Give another.")
    apart(lambda: service.hand.change(LOCAL, job, state="failed", ended=1.0, error=fault))
    page = visitor(f"#/jobs/{job}", locale="de")
    notice = page.locator(".notice")
    expect(notice).to_contain_text("Das Video kann nicht gelesen werden.")
    notice.locator("summary").click()
    expect(notice.locator("[lang=en]")).to_contain_text("The file has no video. Give another.")
    page.get_by_label("Sprache").select_option("en")
    expect(page.locator(".notice")).to_contain_text("The video cannot be read.")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_result_is_played_beside_its_source_and_enlarged(
    visitor: Visit, service: LocalService, clip: Path
) -> None:
    id = submit(service, clip, options={"on_no_face": "passthrough"})
    with service.worker():
        page = visitor(f"#/jobs/{id}")
        holds(page, f"{PAIR}.length === 2")
        holds(page, f"{PAIR}.every((video) => video.readyState >= 2)")
        expect(page.locator(".origin .signed")).to_have_attribute("data-signed", "false")
        page.get_by_label("Place in the video").fill("0.3")
        holds(
            page,
            f"{PAIR}.every((video) => Math.abs(video.currentTime - 0.3) < 0.05)",
        )
        page.get_by_role("button", name="Loupe", exact=True).click()
        marker = page.get_by_role("button", name="Loupe on the result")
        marker.focus()
        before = marker.bounding_box()
        for _ in range(4):
            marker.press("Shift+ArrowUp")
        after, picture = marker.bounding_box(), page.locator(".pair video").last.bounding_box()
        assert before
        assert after
        assert picture
        assert before["y"] - after["y"] == pytest.approx(0.2 * picture["height"], abs=2)
        assert page.evaluate(SPOT).split(",")[3] == "255"
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the video").click()
        with service.client() as client:
            assert Path(download.value.path()).read_bytes() == client.get(f"/v1/jobs/{id}/result").content


@pytest.mark.parametrize(
    ("mode", "time", "at", "forwards"),
    [
        ("loop", 1.5, 1.5, True),
        ("loop", 3.0, 1.0, False),
        ("loop", 4.5, 0.5, True),
        ("repeat", 3.0, 1.0, True),
        ("freeze", 3.0, 2.0, False),
        ("keep", 1.0, 1.0, True),
        ("remap", 3.0, 1.2, False),
    ],
)
def test_the_source_shows_the_moment_that_the_result_was_made_of(
    visitor: Visit, mode: str, time: float, at: float, forwards: bool
) -> None:
    """A source of 2 s, a result of 5 s."""
    page = visitor()
    call = f"import('/js/mapping.js').then(({{ sourceTime }}) => sourceTime({time}, 2, 5, '{mode}'))"
    assert page.evaluate(call) == {"at": pytest.approx(at), "forwards": forwards}


def test_the_list_follows_filters_retries_and_erases(
    visitor: Visit, service: LocalService, clip: Path
) -> None:
    failing, running = submit(service, clip, name="Failing"), submit(service, clip, name="Running")
    page = visitor("#/jobs")
    row = page.locator(".job-row", has_text="Failing").first
    expect(row.locator(".badge")).to_have_text("Waiting")
    fault = Fault(code="no_face", message="There is no face.")
    apart(lambda: service.hand.change(LOCAL, failing, state="failed", ended=1.0, error=fault))
    expect(row.locator(".badge")).to_have_text("Failed")
    page.locator(".segment", has_text="Failed").click()
    expect(page.locator(".job-row", has_text="Running")).to_have_count(0)
    page.get_by_role("button", name="Try Failing again").click()
    page.locator(".segment", has_text="At work").click()
    expect(page.locator(".job-row", has_text="Failing")).to_have_count(1)
    page.get_by_role("button", name="Cancel Running").click()
    page.locator(".segment", has_text="All").click()
    page.get_by_role("button", name="Erase Running").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    assert state(service, running) == "cancelled"
    page.get_by_role("button", name="Erase Running").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(page.locator(".job-row", has_text="Running")).to_have_count(0)
    assert state(service, running) == "gone"
