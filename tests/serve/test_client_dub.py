"""The client against a real server: one request, many, cancelled, late, refused."""

from __future__ import annotations

import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from demo import portrait
from lipserve import (
    AsyncClient,
    CancelledError,
    CancelToken,
    Client,
    DeadlineExceededError,
    ModelNotFoundError,
    NoFaceError,
    audio,
)
from lipserve.contracts import TIER_NAMES, of_tier
from lipserve.tiers import LIPWARP
from lipserve_client import _clip as clip_module
from tests.support.processes import computing
from tests.support.segments import shorten
from tests.support.servers import RunningServer
from tests.support.waiting import until

pytestmark = pytest.mark.serve

SIZE = (128, 128)
FPS = 25


@pytest.fixture(scope="module")
def video() -> bytes:
    """Two seconds of a face."""
    return portrait.clip(2.0, SIZE)


@pytest.fixture(scope="module")
def faceless() -> bytes:
    """Two seconds of something that is no face."""
    return portrait.clip(2.0, SIZE, zoom=20.0)


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, LIPWARP, seconds=2.0)


def _speech(seconds: float) -> bytes:
    time_axis = np.arange(round(seconds * 16000)) / 16000
    loud = np.sin(2 * np.pi * 3 * time_axis) ** 2
    return audio.wav((0.3 * loud * np.sin(2 * np.pi * 180 * time_axis)).astype(np.float32))


def _lengths(film: bytes | Path) -> dict[str, tuple[int, float]]:
    """Return frames and seconds of each stream."""
    with av.open(io.BytesIO(film) if isinstance(film, bytes) else str(film)) as container:
        return {
            stream.type: (stream.frames, float((stream.duration or 0) * (stream.time_base or 0)))
            for stream in container.streams
        }


def _presented(film: bytes) -> list[Fraction]:
    with av.open(io.BytesIO(film)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        return sorted(packet.pts * (packet.time_base or Fraction(0)) for packet in packets)


def test_a_short_clip_is_one_request(server: RunningServer, video: bytes, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    target = tmp_path / "out.mp4"
    with Client(server.url) as client:
        result = client.dub(
            video, _speech(2.0), output=target, on_progress=lambda *counts: told.append(counts)
        )
    assert result.path == target
    assert told == [(0, 50), (50, 50)]
    assert (result.report.frames, result.report.segments, result.report.faces) == (50, 1, 1)
    assert len(result.request_seconds) == 1
    lengths = _lengths(target)
    assert lengths["video"] == (50, 2.0)
    assert lengths["audio"][1] == pytest.approx(2.0, abs=0.07)
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.usefixtures("short_segments")
def test_a_long_clip_is_cut_and_joined(server: RunningServer, video: bytes) -> None:
    told: list[int] = []
    with Client(server.url) as client:
        result = client.dub(video, _speech(6.3), on_progress=lambda done, total: told.append(done))
    frames = round(6.3 * FPS)
    assert (result.report.frames, result.report.segments) == (frames, 3)
    assert result.report.seconds == pytest.approx(frames / FPS)
    assert told[0] == 0
    assert told[-1] == frames
    assert told == sorted(told)
    assert len(told) == 4
    assert _presented(result.content) == [Fraction(i, FPS) for i in range(frames)]
    assert _lengths(result.content)["audio"][1] == pytest.approx(6.3, abs=0.07)
    # All three were under way at once: their times add up to far more than the whole took.
    assert sum(result.request_seconds) > 1.5 * max(result.request_seconds)
    assert result.seconds < sum(result.request_seconds)


def test_one_segment_at_a_time_gives_the_same(
    server: RunningServer, video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, LIPWARP, seconds=1.0)
    speech = _speech(2.6)
    clients = (Client(server.url, concurrency=number, provenance=False) for number in (1, 4))
    one, four = clients
    with one, four:
        alone, together = one.dub(video, speech), four.dub(video, speech)
    assert alone.report.segments == together.report.segments == 3
    assert alone.content == together.content


def test_a_short_stretch_of_a_long_video_is_cut_out(server: RunningServer) -> None:
    film = portrait.clip(12.0, SIZE)
    clip = clip_module.Clip(film, _speech(1.0), clip_module.merge_options(None, {}, "lipwarp"), "lipwarp")
    assert not clip.whole
    sent = clip.request(0).inputs["VIDEO"]
    assert len(sent) < len(film) / 2
    with Client(server.url) as client:
        result = client.dub(film, _speech(1.0))
    assert result.report.frames == FPS


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize(("seconds", "segments"), [(2.0, 1), (5.3, 3)])
def test_a_clip_without_a_face_is_refused_or_passed_through(
    server: RunningServer, faceless: bytes, tmp_path: Path, seconds: float, segments: int
) -> None:
    with Client(server.url) as client:
        with pytest.raises(NoFaceError, match="passthrough"):
            client.dub(faceless, _speech(seconds), output=tmp_path / "out.mp4")
        assert os.listdir(tmp_path) == []
        report = client.dub(faceless, _speech(seconds), on_no_face="passthrough").report
    assert report.faceless_frames == report.frames == round(seconds * FPS)
    assert (report.faces, report.segments) == (0, segments)


def _made(server: RunningServer) -> float:
    """Return how many frames the server has made."""
    return server.metrics()["lipserve_frames_total"]


@pytest.mark.usefixtures("short_segments")
def test_a_cancelled_clip_ends_early_and_leaves_nothing(
    server: RunningServer, video: bytes, tmp_path: Path
) -> None:
    token, before = CancelToken(), _made(server)

    def after_the_first(done: int, total: int) -> None:
        if done:
            token.cancel()

    with Client(server.url) as client:
        with pytest.raises(CancelledError):
            client.dub(
                video, _speech(60), output=tmp_path / "out.mp4", on_progress=after_the_first, cancel=token
            )
        assert os.listdir(tmp_path) == []
        until(lambda: not server.in_flight(), "it goes on")
        assert _made(server) - before < 30 * FPS
        assert client.dub(video, _speech(1.0)).report.frames == FPS


def test_a_deadline_covers_the_whole_clip(server: RunningServer, video: bytes, tmp_path: Path) -> None:
    before = _made(server)
    with Client(server.url) as client:
        with pytest.raises(DeadlineExceededError, match="longer timeout"):
            client.dub(video, _speech(60), output=tmp_path / "out.mp4", timeout=0.7)
        assert os.listdir(tmp_path) == []
        until(lambda: not server.in_flight(), "it goes on")
        assert _made(server) - before < 30 * FPS
        assert client.dub(video, _speech(1.0)).report.frames == FPS


def test_a_failing_progress_callback_ends_the_call(
    server: RunningServer, video: bytes, tmp_path: Path
) -> None:
    def fail(done: int, total: int) -> None:
        raise ZeroDivisionError("the caller's own")

    with Client(server.url) as client, pytest.raises(ZeroDivisionError):
        client.dub(video, _speech(1.0), output=tmp_path / "out.mp4", on_progress=fail)
    assert os.listdir(tmp_path) == []


def test_a_tier_that_the_server_does_not_hold(server: RunningServer, video: bytes) -> None:
    with (
        Client(server.url) as client,
        computing(2.0, server.pid),
        pytest.raises(ModelNotFoundError, match="lipserve models"),
    ):
        client.dub(video, _speech(1.0), tier="latentsync")


def test_eight_clients_at_once_get_what_one_gets_alone(server: RunningServer, video: bytes) -> None:
    def once(_: int) -> bytes | Path:
        with Client(server.url, provenance=False) as client:
            return client.dub(video, _speech(0.4)).content

    alone = once(0)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(once, range(8))) == [alone] * 8


def test_a_cancelled_task_frees_the_server(server: RunningServer, video: bytes, tmp_path: Path) -> None:
    async def give_up() -> None:
        async with AsyncClient(server.url) as client:
            task = asyncio.create_task(client.dub(video, _speech(60), output=tmp_path / "out.mp4"))
            await asyncio.to_thread(until, server.in_flight, "it is not begun")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())
    assert os.listdir(tmp_path) == []


def test_crops_come_back_with_other_mouths(server: RunningServer) -> None:
    faces = np.random.default_rng(2).integers(0, 256, (20, 96, 96, 3), dtype=np.uint8)
    speech = audio.load(_speech(1.0))
    with Client(server.url) as client:
        generated = client.generate(faces, speech)
        again = client.generate(faces[5:9], speech, frames=np.arange(5, 9, dtype=np.int32))
    assert generated.shape == faces.shape
    assert np.abs(generated.astype(int) - faces).mean() > 1
    assert np.abs(generated[5:9].astype(int) - again).max() <= 1


def test_models_and_health_tell_what_the_server_holds(server: RunningServer) -> None:
    with Client(server.url) as client:
        models = {status.name: status for status in client.models()}
        assert client.tiers() == tuple(tier for tier in TIER_NAMES if tier in models)
        (shallow,) = client.health()
        (deep,) = client.health(deep=True)
    assert models.keys() == {model.name for tier in ("lipwarp", "wav2lip") for model in of_tier(tier)}
    assert {status.state for status in models.values()} == {"READY"}
    assert (models["wav2lip"].kind, models["wav2lip"].tier) == ("ensemble", "wav2lip")
    assert (models["lipwarp_prepare"].kind, models["lipwarp_prepare"].tier) == ("stage", "lipwarp")
    assert shallow.ok
    assert shallow.models == ()
    assert deep.ok
    assert {model.name for model in deep.models} == set(models)
