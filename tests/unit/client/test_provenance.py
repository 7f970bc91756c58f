"""Results are signed by default, once, on the finished file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipserve import Client, Provenance, audio
from lipserve.errors import OptionsError, ProvenanceError
from lipserve.provenance.self_made import make
from lipserve.provenance.verify import read, verify
from lipserve_client import MockTransport
from lipserve_client._samples import PORTRAIT
from lipserve_client._transports.mock import untouched

Pems = tuple[Path, Path]


@pytest.fixture
def pems(tmp_path: Path) -> Callable[..., Pems]:
    """Return what writes a certificate that begins and ends so many days from now, and its key."""

    def write(begins: int = -1, ends: int = 9) -> Pems:
        content = make(datetime.now(UTC) + timedelta(days=begins), timedelta(days=ends - begins))
        (tmp_path / "own.pem").write_bytes(content)
        return tmp_path / "own.pem", tmp_path / "own.pem"

    return write


def dub(provenance: Provenance | bool = True, transport: Any = None, **options: Any) -> Any:
    speech = audio.wav(np.zeros(8000, np.float32))
    with Client(transport=transport or MockTransport(), provenance=provenance) as client:
        return client.dub(PORTRAIT, speech, **options)


def test_a_result_of_every_form_is_signed_unless_that_is_off(tmp_path: Path) -> None:
    assert read(io.BytesIO(dub().content)).state == "self-made"
    path = tmp_path / "out.mp4"
    dub(output=path)
    assert verify(path).state == "self-made"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]
    with (tmp_path / "stream.mp4").open("wb") as stream:
        dub(output=stream)
    assert verify(tmp_path / "stream.mp4").state == "self-made"
    for off in (False, Provenance(policy="off")):
        assert read(io.BytesIO(dub(off).content)).state == "none"


def test_the_environment_names_the_certificate(
    pems: Callable[..., Pems], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = pems()
    monkeypatch.setenv("LIPSERVE_CERTIFICATE", str(certificate))
    with pytest.raises(OptionsError, match="a certificate and its private key"):
        dub()
    monkeypatch.setenv("LIPSERVE_PRIVATE_KEY", str(key))
    own, other = (read(io.BytesIO(dub(given).content)) for given in (True, Provenance()))
    assert own.serial != other.serial
    monkeypatch.setenv("LIPSERVE_PROVENANCE", "off")
    assert read(io.BytesIO(dub().content)).state == "none"
    monkeypatch.setenv("LIPSERVE_PROVENANCE", "perhaps")
    with pytest.raises(OptionsError, match="'perhaps' is no policy"):
        dub()


@pytest.mark.parametrize(("begins", "ends", "why"), [(-9, -2, "expired on"), (3, 9, "is not valid before")])
def test_an_unfit_certificate_is_refused_before_anything_is_sent(
    pems: Callable[..., Pems], begins: int, ends: int, why: str
) -> None:
    mock = MockTransport()
    with pytest.raises(ProvenanceError, match=why):
        dub(Provenance(*pems(begins, ends)), mock)
    assert mock.calls == []
    result = dub(Provenance(*pems(begins, ends), "warn"))
    assert read(io.BytesIO(result.content)).state == "none"
    (warning,) = (text for text in result.report.warnings if "no manifest of its provenance" in text)
    assert why in warning


def test_a_missing_library_is_a_warning_or_an_error(
    pems: Callable[..., Pems], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "c2pa", None)
    result = dub()
    assert any("c2pa-python cannot be used" in text for text in result.report.warnings)
    with pytest.raises(Exception, match="c2pa-python cannot be used"):
        dub(Provenance(*pems()))


def test_a_result_that_the_server_has_signed_is_kept_or_signed_on(pems: Callable[..., Pems]) -> None:
    server = dub().content
    first = read(io.BytesIO(server))

    signs = MockTransport(lambda call: {**untouched(call), "RESULT": server})
    assert dub(True, signs).content == server
    again = read(io.BytesIO(dub(Provenance(*pems()), signs).content))
    assert again.serial != first.serial
    assert [action.name for action in again.actions][-2:] == ["c2pa.opened", "c2pa.published"]


def test_consent_is_held_to_its_fields() -> None:
    given = {"who": "Ada", "when": "2026-11-30", "purpose": "a talk"}
    assert read(io.BytesIO(dub(consent=given).content)).consent == {**given, "record": ""}
    for wrong, why in (
        ({**given, "when": "yesterday"}, "consent.when"),
        ({**given, "who": " "}, "it says nothing"),
        ({**given, "who": "x" * 201}, "consent.who"),
        ({"who": "Ada"}, "consent.when"),
        ({**given, "more": "x"}, "consent.more"),
    ):
        with pytest.raises(OptionsError, match=why):
            dub(consent=wrong)


def test_the_command_reads_a_record_of_consent(tmp_path: Path) -> None:
    from lipserve_cli.arguments import options_of, provenance_of
    from lipserve_cli.main import parser

    record = tmp_path / "consent.json"
    record.write_text(json.dumps({"who": "Ada", "when": "2026-11-30", "purpose": "a talk"}))
    words = ["dub", "a.mp4", "b.wav", "-o", "c.mp4", "--consent", str(record), "--mark", "AI"]
    arguments = parser(words).parse_args(words)
    assert options_of(arguments)["consent"].who == "Ada"
    assert provenance_of(arguments) == Provenance()
    words = [*words, "--certificate", "c.pem", "--private-key", "k.pem", "--unsigned", "warn"]
    assert provenance_of(parser(words).parse_args(words)) == Provenance("c.pem", "k.pem", "warn")
    stamped = provenance_of(parser(words).parse_args([*words, "--timestamp-url", "http://time.example"]))
    assert stamped == Provenance("c.pem", "k.pem", "warn", "http://time.example")
    with pytest.raises(OptionsError, match="no address of a time-stamp authority"):
        Provenance(timestamp_url="time.example")
    assert provenance_of(parser(words).parse_args([*words, "--no-provenance"])) is False
    record.write_text("{}")
    with pytest.raises(OptionsError, match="who"):
        options_of(arguments)
    record.unlink()
    with pytest.raises(OptionsError, match="cannot be read: No such file"):
        options_of(arguments)
