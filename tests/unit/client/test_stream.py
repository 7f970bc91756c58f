"""A result that is handed out while it is made: the same pictures, in order, and an end that is told."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import Any

import av
import numpy as np
import pytest

from demo import portrait
from lipserve import AsyncClient, CancelToken, Client, audio
from lipserve.errors import CancelledError, OptionsError, ProvenanceError, UnavailableError
from lipserve.media import decode, probe
from lipserve.options import Options, parse
from lipserve_client import MockTransport, Provenance
from lipserve_client._transports.base import Answer, Call, Transport
from lipserve_client._transports.mock import untouched

SPEECH = audio.wav(np.float32(0.1 * np.sin(np.arange(6 * 16_000) / 9)))


@pytest.fixture(scope="module")
def video() -> bytes:
    return portrait.clip(1.0, (64, 64))


def spans(mock: MockTransport) -> list[tuple[int, int]]:
    asked = [parse(Options, bytes(call.inputs["OPTIONS"])).segment for call in mock.calls]
    return sorted((segment.first_frame, segment.frames) for segment in asked if segment)


def test_the_beginning_is_made_first_and_the_pictures_are_those_of_the_whole(video: bytes) -> None:
    mock = MockTransport()
    with Client(transport=mock, provenance=False) as client:
        stream = client.dub_stream(video, SPEECH, tier="wav2lip", crf=0)
        chunks = list(stream)
        whole = client.dub(video, SPEECH, tier="wav2lip", crf=0)
    assert spans(mock) == [(0, 16), (16, 32), (48, 102)]
    assert stream.report is not None
    assert (stream.report.frames, stream.report.segments) == (150, 3)
    streamed = b"".join(chunks)
    assert len(chunks) > 5
    assert b"moof" in streamed[:8000]
    for one, other in zip(
        decode.read(streamed, probe.probe(streamed)),
        decode.read(whole.content, probe.probe(whole.content)),
        strict=True,
    ):
        assert np.array_equal(one.y, other.y)


def test_sound_and_pictures_begin_together(video: bytes) -> None:
    with Client(transport=MockTransport(), provenance=False) as client:
        streamed = b"".join(client.dub_stream(video, SPEECH, tier="wav2lip"))
    with av.open(io.BytesIO(streamed)) as container:
        assert [stream.start_time for stream in container.streams] == [0, 0]
        frames = [frame.time for frame in container.decode(video=0)]
    assert frames == pytest.approx([number / 25 for number in range(150)])
    heard = audio.load(streamed)
    given = audio.load(SPEECH)
    count = min(len(heard), len(given))
    assert np.corrcoef(heard[:count], given[:count])[0, 1] > 0.98


def test_the_beginning_is_there_before_the_end_is_made(video: bytes) -> None:
    async def run() -> bytes:
        taken = asyncio.Event()

        class Held(Transport):
            """Answers for the last segment only when something of the result has been taken."""

            async def reach(self) -> None:
                pass

            async def infer(self, call: Call, timeout: float) -> Answer:
                segment = parse(Options, bytes(call.inputs["OPTIONS"])).segment
                if segment is not None and segment.first_frame > 16:
                    await taken.wait()
                return untouched(call)

        chunks = []
        async with AsyncClient(transport=Held, provenance=False) as client, asyncio.timeout(120):
            async for chunk in client.dub_stream(video, SPEECH, tier="wav2lip"):
                chunks.append(chunk)
                taken.set()
        return b"".join(chunks)

    assert probe.probe(asyncio.run(run())).frames == 150


def test_an_error_ends_the_loop_and_is_raised(video: bytes) -> None:
    def failing(call: Call) -> Answer:
        segment = parse(Options, bytes(call.inputs["OPTIONS"])).segment
        if segment is not None and segment.first_frame:
            raise UnavailableError("It is gone.", "Wait.")
        return untouched(call)

    got = []
    with (
        Client(transport=MockTransport(failing), provenance=False, retries=0) as client,
        pytest.raises(UnavailableError, match="It is gone"),
    ):
        got += list(client.dub_stream(video, SPEECH, tier="wav2lip"))
    assert got == []


def test_leaving_the_loop_gives_the_call_up(video: bytes) -> None:
    mock = MockTransport()
    with Client(transport=mock, provenance=False, concurrency=1) as client:
        for _ in client.dub_stream(video, audio.wav(np.zeros(60 * 16_000, np.float32)), tier="wav2lip"):
            break
    assert len(mock.calls) < 9
    assert not any(thread.name == "lipserve-stream" for thread in threading.enumerate())


def test_a_token_cancels_it(video: bytes) -> None:
    token = CancelToken()
    with Client(transport=MockTransport(), provenance=False) as client:
        stream = iter(client.dub_stream(video, SPEECH, tier="wav2lip", cancel=token))
        assert next(stream)
        token.cancel()
        with pytest.raises(CancelledError):
            list(stream)


def test_a_token_serves_another_call_after_a_stream_that_has_ended(video: bytes) -> None:
    token = CancelToken()
    with Client(transport=MockTransport(), provenance=False) as client:
        for _ in range(2):
            assert list(client.dub_stream(video, SPEECH, tier="wav2lip", cancel=token))
        next(iter(client.dub_stream(video, SPEECH, tier="wav2lip", cancel=token)))
    assert not token.cancelled


@pytest.mark.parametrize(
    ("provenance", "wanted", "error"),
    [
        (Provenance(policy="refuse"), {}, ProvenanceError),
        (False, {"crf": 99}, OptionsError),
        (False, {"speech": None}, OptionsError),
    ],
    ids=["it must be signed", "an option", "no speech"],
)
def test_what_cannot_be_streamed_is_told(
    video: bytes, provenance: Any, wanted: dict[str, Any], error: type[Exception]
) -> None:
    with Client(transport=MockTransport(), provenance=provenance) as client, pytest.raises(error):
        list(client.dub_stream(video, **{"speech": SPEECH, "tier": "wav2lip", **wanted}))


def test_an_unsigned_stream_says_so(video: bytes) -> None:
    with Client(transport=MockTransport()) as client:
        stream = client.dub_stream(video, SPEECH, tier="wav2lip")
        assert list(stream)
    assert stream.report is not None
    assert "no manifest" in stream.report.warnings[-1]
