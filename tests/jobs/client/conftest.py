"""A real gateway for the tests of one file, and small clips."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from lipserve import Jobs, audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import Colour, Picture
from lipserve.quality.results import CheckResult
from lipserve_client import CastMember, Estimate, FacesResult, SpeakerTurn
from lipserve_client._jobs.records import Kind
from lipserve_jobs.store import Keys
from tests.support.local_service import LocalService
from tests.support.media import encode
from tests.support.nats import NatsServer


@pytest.fixture(scope="module")
def gateway(nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    with LocalService(nats.url, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def jobs(gateway: LocalService) -> Jobs:
    return Jobs(gateway.url, timeout=120)


CHECK = CheckResult(64, 48, 25.0, 50, 2.0, True, (), (), ())
FACES = FacesResult(
    CHECK,
    (CastMember(1, (1,), 0.0, 2.0, 2.0, 1.5, (4.0, 4.0, 44.0, 44.0)),),
    (SpeakerTurn(1, 0.2, 1.7),),
    b"\x89PNG",
)
ESTIMATE = Estimate("lipwarp", 64, 48, 25.0, 50, 2.0, 1, 1, 3.0, 2.0, 1.0, 4.0, 64.0, 0.5, 3.6)


@pytest.fixture
def measured(gateway: LocalService) -> Callable[[str], str]:
    """Return what makes a job of a kind that is done, as a worker leaves it, and returns its id."""

    def made(kind: Kind) -> str:
        job = Jobs(gateway.url).submit("https://a/film.mp4", "https://a/a.wav", kind=kind, name="A film")
        told = {"check": CHECK.to_json(), "estimate": ESTIMATE.to_json()}
        told["faces"] = {**FACES.to_json(), "check": told["check"]}
        gateway.hand.finish("local", job.id, json.dumps(told[kind]).encode())
        if kind == "faces":
            key = Keys("local", job.id).sheet
            gateway.hand.run(lambda _, store: store.write(key, FACES.sheet))
        return job.id

    return made


@pytest.fixture(scope="session")
def video() -> bytes:
    """Twelve grey pictures, 64 x 48, at 25 frames a second."""
    luma, chroma = np.full((48, 64), 128, np.uint8), np.full((24, 32), 128, np.uint8)
    return encode([Picture(luma, chroma, chroma, Colour())] * 12)


@pytest.fixture(scope="session")
def speech() -> bytes:
    """Half a second of silence."""
    return audio.wav(np.zeros(SAMPLE_RATE // 2, np.float32))
