"""Shared memory between the client and a real server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from demo import portrait
from lipserve import AsyncClient, CancelledError, CancelToken, Client, SetupError, audio
from lipserve_client import _clip as clip_module
from lipserve_client._connection import Connection
from lipserve_client._transports import system_shm
from lipserve_client._transports.cuda_shm import CudaSharedMemory
from lipserve_client._transports.system_shm import PREFIX, SystemSharedMemory
from tests.support.servers import RunningServer
from tests.support.waiting import until

pytestmark = pytest.mark.serve

FACES = np.random.default_rng(3).integers(0, 256, (40, 96, 96, 3), dtype=np.uint8)  # 1.1 MB
SPEECH = np.zeros(32000, np.float32)


def _names() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if name.startswith(PREFIX)}


def _files() -> list[str]:
    """Return the regions' files that stay: those of other tests' clients are there for a moment."""
    if not (seen := _names()):
        return []
    time.sleep(0.5)
    return sorted(seen & _names())


def _registered(server: RunningServer) -> list[str]:
    with InferenceServerClient(server.url) as client:
        return [name for name in client.get_system_shared_memory_status().regions if name.startswith(PREFIX)]


def test_crops_in_shared_memory_equal_those_in_messages(server: RunningServer) -> None:
    with Client(server.url) as plain, Client(server.url, shm="system") as shared:
        assert np.array_equal(plain.generate(FACES, SPEECH), shared.generate(FACES, SPEECH))
    assert (_files(), _registered(server)) == ([], [])


def test_a_clip_in_shared_memory_equals_the_one_in_messages(server: RunningServer) -> None:
    video, speech = portrait.clip(2.0, (128, 128)), audio.wav(SPEECH)
    unsigned = Client(server.url, provenance=False)
    with unsigned as plain, Client(server.url, shm="system", provenance=False) as shared:
        assert plain.dub(video, speech).content == shared.dub(video, speech).content
    assert (_files(), _registered(server)) == ([], [])


def test_a_result_that_does_not_fit_gets_a_larger_region(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = portrait.clip(2.0, (256, 256))
    monkeypatch.setattr(clip_module, "_RESULT_FLOOR", 1 << 16)
    monkeypatch.setattr(clip_module, "_PIXELS_PER_BYTE", 1 << 40)
    made: list[SystemSharedMemory] = []

    def transport(connection: Connection) -> SystemSharedMemory:
        made.append(SystemSharedMemory(connection))
        return made[-1]

    with Client(server.url, transport=transport) as client:
        result = client.dub(video, audio.wav(SPEECH), crf=4)
    assert len(result.content) > 1 << 16
    assert made[0]._needed["RESULT"] > len(result.content)
    assert (_files(), _registered(server)) == ([], [])


def test_a_call_that_is_given_up_leaves_nothing(server: RunningServer) -> None:
    many = np.concatenate([FACES] * 60)

    def cancel_at_work(token: CancelToken) -> None:
        try:
            until(lambda: server.in_flight("wav2lip_generate"), "it is not begun")
        finally:
            token.cancel()

    async def give_up(client: AsyncClient) -> int:
        """Return how many regions are still in use: Triton refuses to forget them."""
        token = CancelToken()
        watching = asyncio.create_task(asyncio.to_thread(cancel_at_work, token))
        with pytest.raises(CancelledError):
            await client.generate(many, np.zeros(640 * len(many), np.float32), cancel=token)
        await watching
        assert _files() == []
        return len(_registered(server))

    async def give_up_and_go_on() -> None:
        async with AsyncClient(server.url, shm="system") as client:
            # Now and then the stage looks at once whether somebody waits, and all is given back by then.
            assert await give_up(client) or await give_up(client) or await give_up(client)
            for _ in range(50):  # the server works on; what it used is given back by later calls
                answer = await client.generate(FACES, SPEECH)
                if not _registered(server):
                    break
                await asyncio.sleep(0.2)
            assert answer.shape == FACES.shape
            assert _registered(server) == []

    asyncio.run(give_up_and_go_on())


def test_a_killed_client_leaves_no_file(server: RunningServer) -> None:
    program = (
        "import numpy as np; from lipserve import Client; print('up', flush=True);"
        f"Client({server.url!r}, shm='system').generate("
        "np.zeros((2500, 96, 96, 3), np.uint8), np.zeros(1600000, np.float32))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    # At work: every region is registered, so that none is between its file's birth and its end.
    until(lambda: server.in_flight("wav2lip_generate"), "it is not begun")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert _registered(server)
    assert _files() == []
    with Client(server.url) as client:
        assert client.generate(FACES, SPEECH).shape == FACES.shape
    with InferenceServerClient(server.url) as client:
        for name in _registered(server):
            _unregister(client, name)


def _unregister(client: InferenceServerClient, name: str) -> None:
    def is_done() -> bool:
        with suppress(InferenceServerException):
            client.unregister_system_shared_memory(name)
            return True
        return False

    until(is_done, f"{name} is used no more")


def test_a_server_that_does_not_share_our_memory(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(system_shm, "DIRECTORY", tmp_path)  # as another host's /dev/shm is: not the server's
    with Client(server.url, shm="system") as client, pytest.raises(SetupError, match="same host"):
        client.generate(FACES, SPEECH)
    assert os.listdir(tmp_path) == []


class _NoGpu:
    """A CUDA module whose handles mean nothing to the server, as another machine's do."""

    freed = 0

    def create_shared_memory_region(self, name: str, size: int, device: int) -> str:
        return name

    def get_raw_handle(self, handle: str) -> bytes:
        return b"A" * 86 + b"=="

    def set_shared_memory_region(self, handle: str, values: list[Any]) -> None:
        raise AssertionError("the server has refused the region")

    def destroy_shared_memory_region(self, handle: str) -> None:
        self.freed += 1


def test_gpu_memory_that_the_server_cannot_open(server: RunningServer) -> None:
    cuda = _NoGpu()
    client = Client(server.url, transport=lambda connection: CudaSharedMemory(connection, cuda=cuda))
    with client, pytest.raises(SetupError, match="same GPU"):
        client.generate(FACES, SPEECH)
    with Client(server.url) as plain:
        assert plain.generate(FACES, SPEECH).shape == FACES.shape
    assert cuda.freed == 1
