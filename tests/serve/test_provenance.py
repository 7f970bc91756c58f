"""Manifests of what a real server has made: a client signs every clip, a server what it makes whole."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import pytest

from demo import portrait
from lipserve import Client, Consent, ConsentError, DubResult, ProvenanceError
from lipserve.provenance.self_made import make
from lipserve.provenance.verify import Verdict, read
from lipserve.tiers import LIPWARP
from tests.support.segments import shorten
from tests.support.servers import RunningServer, serve

pytestmark = pytest.mark.serve

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = Consent(who="Ada", when=date(2026, 11, 30), purpose="a talk")


@pytest.fixture(scope="module")
def video() -> bytes:
    return portrait.clip(2.0, (128, 128))


@dataclass
class Operator:
    """A server that signs with a certificate in a file, and demands a record of consent."""

    server: RunningServer
    file: Path

    def renew(self, days: int = 9) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_bytes(make(datetime.now(UTC) - timedelta(days=30), timedelta(days=30 + days)))
        beside.replace(self.file)


@pytest.fixture(scope="module")
def operator(exported_wav2lip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    file = tmp_path_factory.mktemp("operator") / "signer.pem"
    file.write_bytes(make())
    environment = {
        "LIPSERVE_CERTIFICATE": str(file),
        "LIPSERVE_PRIVATE_KEY": str(file),
        "LIPSERVE_REQUIRE_CONSENT": "1",
    }
    with serve(exported_wav2lip, ROOT / "build/test/triton_signing.log", environment) as running:
        yield Operator(running, file)


def told(result: DubResult) -> Verdict:
    return read(io.BytesIO(result.content))


def packets(result: DubResult) -> list[tuple[bytes, Any]]:
    with av.open(io.BytesIO(result.content)) as container:
        return [(bytes(packet), packet.pts) for packet in container.demux()]


@pytest.mark.parametrize("seconds", [9.0, 1.0], ids=["one request", "segments"])
def test_a_dubbed_clip_is_signed_once_and_its_packets_stay(
    server: RunningServer,
    video: bytes,
    media: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    shorten(monkeypatch, LIPWARP, seconds=seconds)
    speech = Path(media[1]).read_bytes()
    with Client(server.url) as signs, Client(server.url, provenance=False) as plain:
        signed, bare = (client.dub(video, speech, on_length_mismatch="silence") for client in (signs, plain))
    assert signed.report.segments == (1 if seconds > 2 else 2)
    assert packets(signed) == packets(bare)
    found = told(signed)
    assert (found.state, told(bare).state) == ("self-made", "none")
    assert [action.name for action in found.actions] == ["c2pa.opened", "c2pa.edited", "c2pa.placed"]
    assert list(found.actions[1].frames) == signed.report.driven == [(0, signed.report.frames - 1)]
    assert found.actions[1].parameters["weights"] == signed.report.weights
    damaged = bytearray(signed.content)
    damaged[len(damaged) // 2] ^= 1
    assert read(io.BytesIO(bytes(damaged))).state == "changed"


def test_frames_without_a_face_are_not_among_the_driven(
    server: RunningServer, media: tuple[str, str]
) -> None:
    nobody = portrait.clip(1.0, (128, 128), zoom=20.0)
    with Client(server.url) as client:
        result = client.dub(nobody, media[1], on_no_face="passthrough", tier="wav2lip")
    assert result.report.driven == []
    made = told(result).actions[1]
    assert (made.name, made.source_type, made.frames) == ("c2pa.transcoded", "", ())


def test_a_mark_is_drawn_by_every_tier_at_its_corner(server: RunningServer, media: tuple[str, str]) -> None:
    with Client(server.url) as client:
        for tier in ("lipwarp", "wav2lip"):
            plain, marked = (
                client.dub(*media, tier=tier, crf=6, **mark)  # type: ignore[arg-type]
                for mark in ({}, {"mark": "AI"})
            )
            pairs = zip(*(frames(result) for result in (plain, marked)), strict=True)
            for one, other in pairs:
                assert abs(one[108:124, 100:124] - other[108:124, 100:124]).mean() > 20
                assert abs(one[:90] - other[:90]).mean() < 2


def frames(result: DubResult) -> Iterator[Any]:
    with av.open(io.BytesIO(result.content)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="gray").astype(int)


def test_an_operators_certificate_signs_what_the_server_makes_whole(
    operator: Operator, media: tuple[str, str]
) -> None:
    with Client(operator.server.url, provenance=False) as bare, Client(operator.server.url) as client:
        with pytest.raises(ConsentError, match=r"without a record of consent.*--consent FILE"):
            bare.dub(*media, tier="wav2lip")
        first = told(bare.dub(*media, tier="wav2lip", consent=ALLOWED))
        assert first.intact
        assert first.consent is not None
        assert first.consent["who"] == "Ada"
        assert first.actions[1].frames == ((0, 24),)
        operator.renew()
        kept = told(client.dub(*media, tier="wav2lip", consent=ALLOWED))  # the server's, not one of our own
        assert kept.serial != first.serial
        assert [action.name for action in kept.actions] == [action.name for action in first.actions]
        assert told(bare.dub(*media, tier="wav2lip", consent=ALLOWED)).serial == kept.serial
        operator.renew(days=-1)
        with pytest.raises(ProvenanceError, match=r"certificate of LipServe .* expired"):
            bare.dub(*media, tier="wav2lip", consent=ALLOWED)
        operator.renew()
        assert all(model.ok for health in bare.health(deep=True) for model in health.models)
