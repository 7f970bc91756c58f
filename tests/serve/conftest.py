"""Servers and clips for the tests that talk to a real Triton."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from demo import portrait
from lipserve import Client, audio
from lipserve.contracts import TierName
from lipserve.errors import LipServeError
from lipserve.files.picture import Picture
from lipserve.media.encode import VideoWriter
from lipserve_client._samples import SPEECH
from tests.support.groups import until_its_group_ends
from tests.support.local_service import LocalService
from tests.support.nats import NatsServer
from tests.support.programs import export
from tests.support.servers import RunningServer, serve

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def server(exported: Path) -> Iterator[RunningServer]:
    """The server that tests share: they call it, and harm it in no way."""
    with until_its_group_ends("server", serve(exported, ROOT / "build/test/triton.log")) as running:
        yield running


@pytest.fixture(scope="session")
def quality_server(exported_latentsync: Path) -> Iterator[RunningServer]:
    """The server of the quality tier alone, at reduced width, that tests share: they harm it in no way.

    Its processes keep freed arrays: to give tens of MiB back to the system and to take them again at every
    layer is a fifth of the work.
    """
    kept = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(1 << 30))
    serving = serve(exported_latentsync, ROOT / "build/test/triton_latentsync.log", kept)
    with until_its_group_ends("quality_server", serving) as running:
        yield running


@pytest.fixture(scope="session")
def quality_client(quality_server: RunningServer) -> Iterator[Client]:
    with Client(quality_server.url, timeout=250, provenance=False) as made:
        yield made


@pytest.fixture(scope="module")
def own_server(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose processes the module may kill."""
    with serve(exported, tmp_path_factory.mktemp("server") / "triton.log") as running:
        yield running


@pytest.fixture
def service(server: RunningServer, tmp_path: Path) -> Iterator[LocalService]:
    """A service for jobs, with a worker that calls the shared server."""
    with (
        NatsServer(tmp_path / "nats") as nats,
        LocalService(nats.url, tmp_path) as running,
        running.worker(url=server.url),
    ):
        yield running


@pytest.fixture(scope="session")
def client(server: RunningServer) -> Iterator[Client]:
    with Client(server.url, timeout=120) as made:
        yield made


@pytest.fixture(scope="session")
def boxed(exported_wav2lip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of Wav2Lip alone, whose generator has random weights, which know boxes."""
    repository = tmp_path_factory.mktemp("boxed") / "model_repository"
    shutil.copytree(exported_wav2lip, repository)
    assert export(["wav2lip", "--random-seed", "1247", "--framing", "box", "-o", str(repository)]) == 0
    return repository


@pytest.fixture(scope="session")
def boxed_server(boxed: Path) -> Iterator[RunningServer]:
    """The shared server with random weights: where a face was driven cannot be overlooked."""
    with until_its_group_ends("boxed_server", serve(boxed, boxed.parent / "triton.log")) as running:
        yield running


@pytest.fixture(scope="session")
def portrait_clip() -> bytes:
    """Two seconds of the portrait, 512 x 512, 25 fps, MP4."""
    return portrait.clip(seconds=2)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """One second of a face, and one second of silence."""
    folder = tmp_path_factory.mktemp("media")
    video, speech = folder / "video.mp4", folder / "speech.wav"
    video.write_bytes(portrait.clip(1.0, (128, 128)))
    speech.write_bytes(audio.wav(np.zeros(16000, np.float32)))
    return str(video), str(speech)


@pytest.fixture(scope="session")
def speech() -> Path:
    """The demo's: six seconds."""
    return SPEECH


@pytest.fixture(scope="session")
def short_speech() -> bytes:
    """Two seconds of it: 50 frames of work."""
    return audio.wav(audio.load(SPEECH)[:32_000])


class Calls:
    """Requests under way in threads: their results or their errors."""

    def __init__(self, url: str, clip: bytes, speech: Path, tier: TierName = "lipwarp") -> None:
        self._arguments = (url, clip, speech, tier)
        self._threads: list[threading.Thread] = []
        self.outcomes: list[object] = []

    def start(self, count: int, retries: int = 0) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._call, args=(retries,))
            thread.start()
            self._threads.append(thread)

    def wait(self) -> list[object]:
        """Return a DubResult or a LipServeError of every call."""
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "a call got no answer"
        self._threads = []
        return self.outcomes

    def _call(self, retries: int) -> None:
        url, clip, speech, tier = self._arguments
        try:
            with Client(url, retries=retries, timeout=100) as client:
                self.outcomes.append(client.dub(clip, speech, tier=tier))
        except LipServeError as error:
            self.outcomes.append(error)


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[Picture]:
    """The pictures that the encoder is handed from now on, in this process."""
    kept: list[Picture] = []
    write = VideoWriter.write

    def spy(self: VideoWriter, picture: Picture, edit: Callable[[Picture], None]) -> None:
        def edit_and_keep(copy: Picture) -> None:
            edit(copy)
            kept.append(Picture(copy.y.copy(), copy.u.copy(), copy.v.copy(), copy.colour))

        write(self, picture, edit_and_keep)

    monkeypatch.setattr(VideoWriter, "write", spy)
    return kept


@pytest.fixture
def calls(portrait_clip: bytes, speech: Path) -> Callable[..., Calls]:
    """Return what makes requests to a server from threads, of lipwarp where no tier is named."""
    return lambda url, **tier: Calls(url, portrait_clip, speech, **tier)


@contextmanager
def paused(process: int) -> Iterator[None]:
    """Hold a process still, so that what it would end soon can be looked at."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
