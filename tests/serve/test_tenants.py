"""Clients of one pod: they take turns, each is counted, and the audit log names what each has sent."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from demo import portrait
from lipserve import Client, VideoError, audio
from lipserve_server.launcher.guard.clients import HEADER
from tests.support.servers import PodProgram
from tests.support.waiting import until

pytestmark = pytest.mark.serve

MANY = 30  # clips that one client sends at once: five times as many as have places


@dataclass(frozen=True)
class Audited:
    """A pod with an audit log."""

    pod: PodProgram
    audit: Path

    def client(self, name: str) -> Client:
        return Client(self.pod.url, headers={HEADER: name}, timeout=300)

    def lines(self, client: str) -> list[dict[str, object]]:
        return [
            line for line in map(json.loads, self.audit.read_text().splitlines()) if line["client"] == client
        ]


@pytest.fixture(scope="module")
def audited(exported_lipwarp: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    with PodProgram(exported_lipwarp, folder / "work", "--audit-log", folder / "audit.jsonl") as pod:
        yield Audited(pod, folder / "audit.jsonl")


def test_a_client_with_one_clip_does_not_wait_for_the_clips_of_another(
    audited: Audited,
) -> None:
    """Of what the other one has sent before, as much is answered meanwhile as there are places."""
    clip, voice = portrait.clip(0.2, (160, 120)), audio.wav(np.zeros(3200, np.float32))
    answered, lock = list[str](), threading.Lock()

    def dub(client: Client, name: str) -> None:
        client.dub(clip, voice)
        with lock:
            answered.append(name)

    with (
        audited.client("many") as many,
        audited.client("one") as one,
        ThreadPoolExecutor(MANY + 1) as threads,
    ):
        sent = [threads.submit(dub, many, "many") for _ in range(MANY)]
        until(lambda: audited.pod.health.metric("lipserve_pending_segments") > MANY / 2)
        before = len(answered)
        threads.submit(dub, one, "one").result()
        place = answered.index("one") - before
        for each in sent:
            each.result()
    assert place < MANY * 2 / 3, f"{place} of the other's came first, {before} had come before"
    assert answered.count("many") == MANY


def test_each_client_is_counted(audited: Audited, portrait_clip: bytes, short_speech: bytes) -> None:
    metric: Callable[..., float] = audited.pod.health.metric
    with audited.client("counted") as client:
        report = client.dub(portrait_clip, short_speech).report
        with pytest.raises(VideoError):
            client.dub(portrait_clip[:3000], short_speech)
    assert metric("lipserve_client_requests_total", client="counted", outcome="ok") == report.segments
    assert metric("lipserve_client_frames_total", client="counted") == report.frames
    assert metric("lipserve_client_video_seconds_total", client="counted") == pytest.approx(report.seconds)
    assert metric("lipserve_client_stage_seconds_total", client="counted") > 0


def test_the_audit_log_has_a_line_of_each_request(
    audited: Audited, portrait_clip: bytes, short_speech: bytes
) -> None:
    with audited.client("audited") as client:
        report = client.dub(portrait_clip, short_speech).report
    lines = audited.lines("audited")
    assert len(lines) == report.segments
    assert {line["outcome"] for line in lines} == {"ok"}
    assert {line["model"] for line in lines} == {"lipwarp"}
    assert sum(int(str(line["frames"])) for line in lines) == report.frames
    assert lines[0]["video_sha256"] == hashlib.sha256(portrait_clip).hexdigest()
    assert str(report.weights) == lines[0]["weights"]
