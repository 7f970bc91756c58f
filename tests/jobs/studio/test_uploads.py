"""Files on their way to the service: through lost connections and reloads, and files that are wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

from lipserve.media import probe
from tests.jobs.studio.conftest import Visit
from tests.support.browser import choose, holds
from tests.support.local_service import LocalService
from tests.support.relay import Relay

LONG = 1_500_000  # bytes
MIDDLE = 700_000


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """A file that no browser can play."""
    path = tmp_path / "long.mkv"
    path.write_bytes(bytes(hashlib.shake_128(b"long").digest(LONG)))
    return path


@pytest.fixture
def line(service: LocalService) -> Iterator[Relay]:
    """The line between the page and the service."""
    with Relay(service.settings.port) as relay:
        yield relay


def in_the_middle(page: Page, line: Relay, file: Path, cut: bool) -> None:
    """Choose a video, and return when half of it has come and the page has kept where it goes."""
    page.goto(line.url)
    page.wait_for_selector(".drop")
    line.stop_after(MIDDLE, cut)
    choose(page, "video", file)
    assert line.reached.wait(60)
    holds(
        page, "import('/js/keep.js').then((keep) => keep.recall('video')).then((kept) => Boolean(kept?.url))"
    )


def sent_requests(page: Page) -> list[Request]:
    found: list[Request] = []
    page.on("request", lambda request: found.append(request) if "/v1/files" in request.url else None)
    return found


def content(service: LocalService, page: Page) -> bytes:
    """Return what the service has of the video."""
    id = page.evaluate("import('/js/draft.js').then(({ draft }) => draft.video.upload.url.split('/').pop())")
    folder = Path(service.settings.store) / "files" / "local" / id
    return b"".join(path.read_bytes() for path in sorted(folder.glob("[0-9]*")))


def is_done(page: Page) -> None:
    expect(page.locator(".video-part .state")).to_have_attribute("data-state", "done")


def test_an_upload_goes_on_where_the_connection_was_lost(
    visitor: Visit, service: LocalService, line: Relay, long_file: Path
) -> None:
    page = visitor()
    requests = sent_requests(page)
    in_the_middle(page, line, long_file, cut=True)
    expect(page.locator(".video-part .state")).to_contain_text("connection lost")
    line.mend()
    is_done(page)
    assert content(service, page) == long_file.read_bytes()
    assert [request.method for request in requests].count("POST") == 1
    assert 0 < int(requests[-1].headers["upload-offset"]) <= MIDDLE


def test_an_upload_goes_on_after_a_reload_in_the_middle(
    visitor: Visit, service: LocalService, line: Relay, long_file: Path
) -> None:
    page = visitor()
    in_the_middle(page, line, long_file, cut=False)
    requests = sent_requests(page)
    page.reload()
    is_done(page)
    assert content(service, page) == long_file.read_bytes()
    assert {request.method for request in requests} <= {"HEAD", "PATCH"}
    assert 0 < int(requests[-1].headers["upload-offset"]) <= MIDDLE


def test_of_a_file_that_could_not_be_kept_the_page_says_so_and_goes_on_with_the_same(
    visitor: Visit, service: LocalService, line: Relay, long_file: Path
) -> None:
    page = visitor()
    in_the_middle(page, line, long_file, cut=False)
    page.evaluate(
        "import('/js/keep.js').then(async ({ keep, recall }) => {"
        " const { file, ...facts } = await recall('video'); await keep('video', facts); })"
    )
    page.reload()
    expect(page.locator(".lost")).to_contain_text("long.mkv")
    requests = sent_requests(page)
    choose(page, "video", long_file)
    is_done(page)
    assert content(service, page) == long_file.read_bytes()
    assert "POST" not in [request.method for request in requests]


@pytest.mark.parametrize(
    ("kind", "file", "code"),
    [
        ("video", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"hello"}, "not_a_video"),
        ("video", {"name": "voice.wav", "mimeType": "audio/wav", "buffer": b"RIFF"}, "not_a_video"),
        ("video", {"name": "empty.mp4", "mimeType": "video/mp4", "buffer": b""}, "empty_file"),
        ("speech", {"name": "face.png", "mimeType": "image/png", "buffer": b"PNG"}, "not_a_speech"),
    ],
)
def test_a_wrong_file_is_told_beside_its_place_and_not_sent(
    visitor: Visit, kind: str, file: dict[str, Any], code: str
) -> None:
    page = visitor()
    requests = sent_requests(page)
    choose(page, kind, file)
    notice = page.locator(f"[data-kind={kind}] .notice")
    expect(notice).to_have_attribute("data-code", code)
    expect(notice).to_contain_text("Choose")
    assert requests == []


def test_a_refused_upload_says_why_and_can_be_tried_again(
    visitor: Visit, service: LocalService, clip: Path
) -> None:
    page = visitor()
    answer = '{"code": "quota_exceeded", "detail": "All of 3 MB are used.", "remedy": "Erase jobs."}'
    page.route("**/v1/files", lambda route: route.fulfill(status=413, body=answer), times=1)
    choose(page, "video", clip)
    notice = page.locator(".video-part .notice")
    expect(notice).to_have_attribute("data-code", "quota_exceeded")
    notice.locator("summary").click()
    expect(notice).to_contain_text("All of 3 MB are used.")
    notice.get_by_role("button").click()
    is_done(page)
    assert content(service, page) == clip.read_bytes()


def recorded(page: Page, kind: str, device: str) -> None:
    """Record a second with the browser's own picture and tone of test."""
    page.locator(f"[data-kind={kind}]").get_by_role("button", name="Record").click()
    box = page.get_by_role("dialog", name=f"Record with the {device}")
    box.get_by_role("button", name="Start recording").click()
    expect(box.get_by_role("timer")).not_to_have_text("0:00")
    box.get_by_role("button", name="Stop and use it").click()
    expect(box).to_have_count(0)


def test_a_video_and_a_speech_are_recorded_sent_and_made(visitor: Visit, service: LocalService) -> None:
    page = visitor()
    recorded(page, "video", "camera")
    is_done(page)
    holds(page, "document.querySelector('.frame video')?.videoWidth > 0")
    recorded(page, "speech", "microphone")
    holds(page, "import('/js/draft.js').then(({ draft }) => draft.ready && Boolean(draft.speech.waveform))")
    page.evaluate("import('/js/draft.js').then(({ draft }) => draft.option('on_no_face', 'passthrough'))")
    found = probe.probe(content(service, page))
    assert found.frames > 5
    assert found.has_audio
    with service.worker():
        page.get_by_role("button", name="Make the video").click()
        expect(page.locator(".pair video")).to_have_count(2)
    id = page.url.rpartition("/")[2]
    with service.client() as client:
        result = probe.probe(client.get(f"/v1/jobs/{id}/result").content)
    assert (result.width, result.height) == (found.width, found.height)
    assert result.has_audio


@pytest.mark.parametrize(
    ("error", "code"), [("NotAllowedError", "not_allowed"), ("NotFoundError", "no_microphone")]
)
def test_a_device_that_does_not_record_is_told(visitor: Visit, error: str, code: str) -> None:
    page = visitor()
    page.evaluate(
        f"void (navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{error}')))"
    )
    page.locator("[data-kind=speech]").get_by_role("button", name="Record").click()
    box = page.get_by_role("dialog")
    expect(box.locator(".notice")).to_have_attribute("data-code", code)
    expect(box.get_by_role("button", name="Start recording")).to_be_disabled()
    box.get_by_role("button", name="Cancel").click()
    expect(box).to_have_count(0)
    expect(page.locator("[data-kind=speech]").get_by_role("button", name="Record")).to_be_focused()
