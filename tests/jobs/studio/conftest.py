"""The page in a real browser, with a real gateway and queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from demo import portrait
from lipserve_client._samples import SPEECH
from tests.support.browser import chromium, visit
from tests.support.local_service import LocalService
from tests.support.nats import NatsServer

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser of a file's tests: while it runs, this thread has an event loop, and others can have none."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def service(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """The service without a worker: what a job does is the test's own."""
    with LocalService(nats.url, tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def visitor(browser: Browser, service: LocalService) -> Iterator[Visit]:
    """Return what opens the page at a place, for a visitor of their own."""
    with ExitStack() as leaving:

        def come(place: str = "", **options: Any) -> Page:
            opened: AbstractContextManager[Page] = visit(browser, service.url, **options)
            page = leaving.enter_context(opened)
            page.goto(f"/{place}")
            return page

        yield come


@pytest.fixture(scope="package")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face for half a second."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    path.write_bytes(portrait.clip(0.5, (128, 128)))
    return path


@pytest.fixture(scope="package")
def speech() -> Path:
    return SPEECH


@pytest.fixture
def job(service: LocalService, clip: Path) -> str:
    """The id of a job that waits."""
    return submit(service, clip)


def submit(service: LocalService, clip: Path, **fields: Any) -> str:
    """Send a job as a program does, and return its id."""
    with service.client() as client:
        sent = [client.post("/v1/files", content=path.read_bytes()).json() for path in (clip, SPEECH)]
        video, speech = (each["reference"] for each in sent)
        answer = client.post("/v1/jobs", json={"video": video, "speech": speech, "name": "A film", **fields})
        assert answer.status_code == 201, answer.text
        id: str = answer.json()["id"]
        return id
