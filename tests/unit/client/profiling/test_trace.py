"""Every request of a clip carries the clip's trace context, and nothing else does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import numpy as np
import pytest

from lipserve import AsyncClient
from lipserve.errors import SetupError
from lipserve_client._profiling import trace as module
from lipserve_client._profiling.spans import Collector, Span
from lipserve_client._profiling.trace import Trace
from tests.support.scripted_triton import ScriptedTriton, StartTriton

FACES, SPEECH = np.zeros((2, 96, 96, 3), np.uint8), np.zeros(16000, np.float32)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector("127.0.0.1", 0) as made:
        yield made


def _contexts(triton: ScriptedTriton) -> list[str | None]:
    return [metadata.get("traceparent") for metadata in triton.metadata]


def test_requests_carry_their_own_clips_context(start_triton: StartTriton, collector: Collector) -> None:
    triton, trace = start_triton(), Trace(collector)

    async def clip(client: AsyncClient) -> None:
        with trace.clip():
            await client.generate(FACES, SPEECH)
            await client.generate(FACES, SPEECH)

    async def run() -> None:
        async with AsyncClient(triton.url, headers={"x-api-key": "k"}) as client:
            await asyncio.gather(clip(client), clip(client))
            await client.generate(FACES, SPEECH)

    asyncio.run(run())
    *sent, last = _contexts(triton)
    assert last is None
    assert triton.names == [*sent, ""]
    assert all(metadata["x-api-key"] == "k" for metadata in triton.metadata)
    clips = trace.spans()
    assert sorted(str(text) for text in sent) == sorted(2 * [f"00-{c.trace}-{c.id}-01" for c in clips])
    assert all(re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", str(text)) for text in sent)
    assert clips[0].trace != clips[1].trace
    assert all(0 < clip.end - clip.start < 60e9 for clip in clips)


def test_a_silent_server_is_an_error_that_says_how_to_start_it(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.1)
    trace = Trace(collector)
    with trace.clip():
        pass
    with pytest.raises(SetupError, match=f"--trace-to {collector.url}"):
        asyncio.run(trace.begin())


def test_a_beginning_forgets_what_was_before(collector: Collector) -> None:
    trace = Trace(collector)
    with trace.clip():
        pass
    (clip,) = trace.spans()
    child = Span(clip.trace, "c" * 16, clip.id, "InferRequest", "", clip.start, clip.end)
    collector.add([child])
    assert trace.spans() == [clip, child]
    asyncio.run(trace.begin())
    assert trace.spans() == []
