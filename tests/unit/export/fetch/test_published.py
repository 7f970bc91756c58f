from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lipserve.errors import SetupError
from lipserve_cli.main import parser
from lipserve_export.fetch.published import PUBLISHED, fetch
from tests.support.programs import export as main


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_file_is_pinned_and_its_licence_named(name: str) -> None:
    weights = PUBLISHED[name]
    assert urlsplit(weights.source.url).scheme == "https"
    # A revision, or the digest itself, is in the address: what a branch's name leads to may change.
    assert re.search(r"/(resolve/[0-9a-f]{40}|models/[0-9a-f]{64})/", weights.source.url)
    assert re.fullmatch("[0-9a-f]{64}", weights.source.sha256)
    assert weights.source.bytes > 70e6
    assert weights.licence[0] == ("OpenRAIL++" if name.startswith("latentsync") else "MIT")
    documented = Path(__file__).parents[4] / "docs" / "licences.md"
    assert weights.page in documented.read_text()


@pytest.mark.parametrize(("version", "resolution"), [("1.5", 256), ("1.6", 512)])
def test_the_exporter_takes_the_files_as_the_last_line_says(version: str, resolution: int) -> None:
    names = (f"latentsync-{version}", "sd-vae-ft-mse", "whisper-tiny")
    words = " ".join(f"{PUBLISHED[name].options} {PUBLISHED[name].file}" for name in names).split()
    given = parser(["export"]).parse_args(["export", "latentsync", "-o", "repository", *words])
    assert given.unet == Path(f"latentsync-{version}.pt")
    assert given.resolution == resolution
    assert given.vae == Path("sd-vae-ft-mse.safetensors")
    assert given.whisper == Path("whisper-tiny.pt")


def test_without_a_name_the_files_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch"]) == 0
    said = capsys.readouterr().err
    assert re.search(r"latentsync-1\.5 +5,072 MB +OpenRAIL\+\+", said)
    assert re.search(r"whisper-tiny +76 MB +MIT", said)


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_is_fetched_before_the_licence_is_accepted(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", name, "-o", str(tmp_path / "weights")]) == 5
    said = capsys.readouterr().err
    assert said.index(PUBLISHED[name].licence[1]) < said.index("is not accepted")
    assert f"lipserve export fetch {name} --accept-licence" in said
    assert not (tmp_path / "weights").exists()


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="latentsync-2") as caught:
        fetch("latentsync-2", True, tmp_path, print)
    assert "latentsync-1.5, latentsync-1.6, sd-vae-ft-mse, whisper-tiny" in caught.value.remedy


def test_a_file_that_is_there_is_checked_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "whisper-tiny.pt").write_bytes(b"not it")
    with pytest.raises(SetupError, match=r"whisper-tiny\.pt exists and is another file"):
        fetch("whisper-tiny", True, tmp_path, lambda line: None)
