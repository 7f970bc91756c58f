"""A signed film says what was made of what, and notices every changed byte."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import av
import numpy as np
import pytest

from lipserve import audio
from lipserve.errors import ProvenanceError, StorageError
from lipserve.provenance.certificate import Certificate, parse
from lipserve.provenance.manifest import COMPOSITE, Facts
from lipserve.provenance.self_made import make
from lipserve.provenance.sign import countersign, sign
from lipserve.provenance.verify import Verdict, read
from tests.support.waiting import until

Pair = tuple[bytes, bytes]


@pytest.fixture(scope="module")
def self_made() -> Certificate:
    content = make()
    return parse(content, content)


def signed(film: bytes, certificate: Certificate, facts: Facts, **files: Any) -> bytes:
    target = io.BytesIO()
    sign(io.BytesIO(film), target, certificate, facts, files)
    return target.getvalue()


def told(content: bytes, *anchors: bytes) -> Verdict:
    return read(io.BytesIO(content), anchors)


def packets(film: bytes) -> list[tuple[bytes, Any]]:
    with av.open(io.BytesIO(film)) as container:
        return [(bytes(packet), packet.pts) for packet in container.demux()]


def test_the_manifest_says_what_was_made(film: bytes, facts: Facts, self_made: Certificate) -> None:
    made = signed(film, self_made, replace(facts, self_made=True))
    assert packets(made) == packets(film)
    assert len(made) - len(film) < 8000
    found = told(made)
    assert (found.state, found.intact) == ("self-made", True)
    assert found.signer == "LipServe (self-made, unverified)"
    assert found.tool.startswith("LipServe ")
    assert found.ingredients == ("source video", "speech")
    opened, edited, placed = found.actions
    assert (opened.name, edited.name, placed.name) == ("c2pa.opened", "c2pa.edited", "c2pa.placed")
    assert edited.source_type == COMPOSITE.rpartition("/")[2] == "compositeWithTrainedAlgorithmicMedia"
    assert edited.frames == ((0, 9), (15, 24))
    assert edited.parameters == {
        "tier": "lipwarp",
        "weights": "lip_renderer: shipped",
        "frames": 25,
        "fps": 25,
        "source_sha256": "a" * 64,
        "speech_sha256": ["b" * 64],
    }
    assert found.consent == {"who": "Ada", "when": "2026-11-30", "purpose": "a talk", "record": ""}


def test_one_changed_byte_of_picture_sound_or_index_is_noticed(
    film: bytes, facts: Facts, self_made: Certificate
) -> None:
    made = signed(film, self_made, facts)
    rng = np.random.default_rng(11)
    states = set()
    box = made.index(b"uuid") - 4
    behind = box + int.from_bytes(made[box : box + 4], "big")
    for place in (behind + 4, len(made) - 1, *rng.integers(behind, len(made), 40)):
        damaged = bytearray(made)
        damaged[place] ^= 1 << int(rng.integers(8))
        found = told(bytes(damaged))
        assert not found.intact, place
        states.add(found.state)
    assert "changed" in states
    assert told(made[:-1]).state != "self-made"
    assert not told(made + b"\0").intact


def test_a_file_without_a_manifest_says_so(film: bytes) -> None:
    for content in (film, b"", b"text", audio.wav(np.zeros(99, np.float32))):
        assert told(content) == Verdict("none")


def test_an_authority_that_is_trusted_vouches(film: bytes, facts: Facts, issue: Callable[..., Pair]) -> None:
    chain, key = issue()
    made = signed(film, parse(chain, key), facts)
    assert told(made).state == "untrusted"
    root = chain[chain.index(b"-----END CERTIFICATE-----\n") + 26 :]
    found = told(made, root)
    assert (found.state, found.signer, found.serial) == ("trusted", "Studio Example", "7")
    other, _ = issue()
    assert told(made, other[other.index(b"-----END CERTIFICATE-----\n") + 26 :]).state == "untrusted"


def test_an_expired_certificate_signs_nothing(film: bytes, facts: Facts, issue: Callable[..., Pair]) -> None:
    certificate = parse(*issue(begins=timedelta(days=-9), ends=timedelta(days=-1)))
    with pytest.raises(ProvenanceError, match="expired"):
        signed(film, certificate, facts)


def test_a_certificate_that_expires_later_is_told_apart_from_a_change(film: bytes, facts: Facts) -> None:
    content = make(datetime.now(UTC) - timedelta(days=1), timedelta(days=1, seconds=2))
    certificate = parse(content, content)
    made = signed(film, certificate, facts)
    until(lambda: datetime.now(UTC) > certificate.ends + timedelta(seconds=1), "it does not expire")
    assert told(made).state == "expired"
    assert not told(made).intact
    damaged = bytearray(made)
    damaged[-9] ^= 1
    assert told(bytes(damaged)).state == "changed"


def test_the_history_of_the_source_goes_on(
    film: bytes, facts: Facts, self_made: Certificate, issue: Callable[..., Pair]
) -> None:
    first = signed(film, parse(*issue()), replace(facts, consent=None))
    again = signed(film, self_made, facts, source=io.BytesIO(first))
    found = told(again)
    assert found.state == "self-made"
    assert [action.name for action in found.actions].count("c2pa.edited") == 2
    # A source whose manifest cannot be read is named all the same.
    for source in (b"\0\0\0\x18ftypisom" + bytes(99), b"nothing", first[:-100]):
        assert (
            told(signed(film, self_made, facts, source=io.BytesIO(source))).ingredients[0] == "source video"
        )


def test_a_second_signature_keeps_the_first(
    film: bytes, facts: Facts, self_made: Certificate, issue: Callable[..., Pair]
) -> None:
    first, target = signed(film, self_made, facts), io.BytesIO()
    countersign(io.BytesIO(first), target, parse(*issue()))
    found = told(target.getvalue())
    assert (found.state, found.signer) == ("untrusted", "Studio Example")
    assert [action.name for action in found.actions][-2:] == ["c2pa.opened", "c2pa.published"]
    assert found.actions[1].frames == ((0, 9), (15, 24))
    assert found.consent is not None
    assert packets(target.getvalue()) == packets(film)


class Full(io.BytesIO):
    """A file on a disk with room for 4 KiB."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > 4096:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_full_disk_is_told_as_such(film: bytes, facts: Facts, self_made: Certificate) -> None:
    with pytest.raises(StorageError, match="cannot be signed: the disk is full"):
        sign(io.BytesIO(film), Full(), self_made, facts)


def test_what_is_no_film_cannot_be_signed(facts: Facts, self_made: Certificate) -> None:
    with pytest.raises(ProvenanceError, match="The result cannot be signed"):
        signed(b"no film", self_made, facts)


_LARGE = """
import io, resource, struct, sys
from lipserve.provenance import sign, verify
from lipserve.provenance.certificate import parse
from lipserve.provenance.manifest import Facts
from lipserve.provenance.self_made import make
from lipserve.report import Report

report = Report(tier="t", weights="w", width=2, height=2, fps=1, frames=1, seconds=1, faces=0,
                faceless_frames=0, detector_calls=0, stage_seconds={})
pem = make()
certificate = parse(pem, pem)
size = 100 << 20
head = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
with open(sys.argv[1], "w+b", buffering=0) as film, open(sys.argv[2], "w+b", buffering=0) as made:
    film.write(head + struct.pack(">I4s", 8 + size, b"mdat"))
    film.truncate(len(head) + 8 + size)
    film.seek(0, 2)
    film.write(struct.pack(">I4s", 8, b"moov"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sign.sign(film, made, certificate, Facts(report, "a" * 64, ()))
    assert verify.read(made).intact
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux alone")
def test_memory_does_not_grow_with_the_film(tmp_path: Any) -> None:
    command = [sys.executable, "-c", _LARGE, str(tmp_path / "film.mp4"), str(tmp_path / "made.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 << 10  # KiB, of 100 MiB
