"""An invisible mark through a real server: every tier draws it, and `check` finds it after another encode."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from bench.invisible_mark import encoded
from lipserve import Client, OptionsError
from lipserve.media import decode, probe
from lipserve.provenance.verify import read
from lipserve.tiers import LIPWARP
from lipserve_cli.main import main
from tests.support.segments import shorten
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

TALKING = "grid/s23/priazn.mpg"  # 75 frames of 360x288
NUMBER = "5a1f03c2"


@pytest.mark.parametrize("tier", ["lipwarp", "wav2lip"])
def test_a_mark_is_found_after_its_result_was_encoded_anew(
    client: Client, shared_data: Callable[[str], Path], speech: Path, tier: Literal["lipwarp", "wav2lip"]
) -> None:
    path = shared_data(TALKING)
    result = client.dub(path, speech, tier=tier, invisible_mark=NUMBER)  # 6 s
    assert result.report.invisible_mark == NUMBER
    for film in (result.content, encoded(result.content), encoded(result.content, 480)):
        found = client.check(film).invisible_mark
        assert found is not None
        assert found.number == NUMBER
    assert client.check(path).invisible_mark is None


def test_a_mark_changes_few_levels_of_luma_around_the_mouth_and_nothing_else(
    client: Client, shared_data: Callable[[str], Path], speech: Path
) -> None:
    path = shared_data(TALKING)
    films = (
        client.dub(path, speech, on_length_mismatch="cut", crf=0, invisible_mark=mark).content
        for mark in (None, NUMBER)
    )
    plain, marked = (list(decode.read(film, probe.probe(film))) for film in films)
    changes = np.stack([b.y.astype(int) - a.y for a, b in zip(plain, marked, strict=True)])
    assert np.abs(changes).max() <= 3
    assert 0.01 < (changes != 0).mean() < 0.06  # of a picture in which the face is small
    (face,) = client.check(path).faces
    x0, y0, x1, y1 = (round(edge) for edge in face.seconds[0].box)
    around = np.ones(changes.shape[1:], bool)
    around[(y0 + y1) // 2 - 20 : y1 + 40, x0 - 20 : x1 + 20] = False
    assert (changes[:, around] == 0).all()
    assert all((a.u == b.u).all() and (a.v == b.v).all() for a, b in zip(plain, marked, strict=True))


def test_segments_carry_one_mark_and_the_manifest_tells_its_number(
    client: Client, shared_data: Callable[[str], Path], speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, LIPWARP, seconds=2.0)
    result = client.dub(shared_data(TALKING), speech, invisible_mark=NUMBER)
    found = client.check(result.content).invisible_mark
    assert result.report.segments == 3
    assert found is not None
    assert found.number == NUMBER
    assert found.score > 12
    (told,) = [a for a in read(io.BytesIO(result.content)).actions if a.name == "c2pa.watermarked.unbound"]
    assert told.parameters == {"invisible_mark": NUMBER}


def test_the_commands_write_and_find_it(
    server: RunningServer,
    shared_data: Callable[[str], Path],
    speech: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.mp4"
    words = ["dub", str(shared_data(TALKING)), str(speech), "-o", str(out), "--url", server.url, "-q"]
    assert main([*words, "--on-length-mismatch", "cut", "--invisible-mark", NUMBER]) == 0
    assert main(["check", str(out), "--url", server.url]) == 0
    assert f"invisible mark {NUMBER} (score " in capsys.readouterr().out
    assert main([*words, "--invisible-mark", "1234"]) == 2
    assert "8 hexadecimal digits, such as 5a1f03c2" in capsys.readouterr().err


def test_a_number_of_another_form_is_refused(client: Client) -> None:
    with pytest.raises(OptionsError, match=r"invisible_mark='5A1F03C2'.* 8 hexadecimal digits"):
        client.dub(b"", b"", invisible_mark="5A1F03C2")
