"""What `lipserve verify` says, and how it ends."""

from __future__ import annotations

import json
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from lipserve import Client
from lipserve.options import Consent
from lipserve.provenance.verify import Action, Verdict
from lipserve_cli.commands.verify import rows
from lipserve_cli.main import main
from lipserve_client import MockTransport
from lipserve_client._samples import PORTRAIT, SPEECH


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signed") / "out.mp4"
    consent = Consent(who="Ada\x1b[2J", when=date(2026, 11, 30), purpose="a talk", record="no. 7")
    with Client(transport=MockTransport()) as client:
        client.dub(PORTRAIT, SPEECH, output=path, consent=consent)
    return path


def test_a_result_is_told_in_plain_words(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(signed)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("unchanged: every byte is as it was signed. The certificate is self-made")
    for line in (
        "signed by:  LipServe (self-made, unverified)",
        "made of:    source video, speech",
        "step:       a source was opened (c2pa.opened)",
        f"step:       encoded anew (c2pa.transcoded) by LipServe {version('lipserve')}",
        "  tier:           lipwarp",
        "consent:    Ada[2J, on 2026-11-30, for: a talk (record: no. 7)",
    ):
        assert line in said.splitlines()


def test_driven_frames_are_told_as_what_ai_has_made() -> None:
    action = Action("c2pa.edited", "T 1", "compositeWithTrainedAlgorithmicMedia", ((0, 9), (20, 24)))
    assert rows(Verdict("trusted", actions=(action,)))[1:] == [
        "step:       edited (c2pa.edited) by T 1",
        "  origin:         AI has made a part of it (compositeWithTrainedAlgorithmicMedia)",
        "  driven frames:  0 to 9, 20 to 24",
    ]


def test_json_says_the_same(signed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(signed), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["state"], found["intact"]) == ("self-made", True)
    assert found["consent"]["who"] == "Ada[2J"
    assert len(found["actions"][1]["parameters"]["source_sha256"]) == 64


def test_a_changed_file_and_one_without_a_manifest_end_with_1(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = bytearray(signed.read_bytes())
    damaged[-2000] ^= 1
    (tmp_path / "damaged.mp4").write_bytes(damaged)
    assert main(["verify", str(tmp_path / "damaged.mp4")]) == 1
    said = capsys.readouterr().out
    assert said.startswith("CHANGED: these are not the bytes that were signed")
    assert "problem:    assertion.bmffHash.mismatch" in said
    assert main(["verify", str(SPEECH)]) == 1
    assert capsys.readouterr().out.startswith("NO MANIFEST")


def test_what_cannot_be_read_is_an_error(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "absent.mp4")]) == 2
    assert "No such file" in capsys.readouterr().err
    for content in (b"no certificate", b"-----BEGIN CERTIFICATE-----\njunk"):
        (tmp_path / "junk.pem").write_bytes(content)
        assert main(["verify", str(signed), "--trust", str(tmp_path / "junk.pem")]) == 2
        assert "certificates" in capsys.readouterr().err
