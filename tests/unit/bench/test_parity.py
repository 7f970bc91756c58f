from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.parity import main


@pytest.mark.slow
def test_a_leaf_is_compared_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--width", "tiny", "--leaves", "vae_encoder", "--output", str(tmp_path)]
    assert main(arguments) == 0
    rows = json.loads((tmp_path / "report.json").read_text())
    assert [(row["leaf"], row["output"]) for row in rows] == [
        ("vae_encoder", "LATENTS"),
        ("vae_encoder", "MOMENTS"),
    ]
    for row in rows:
        for one in ("torch", "fp32", "between"):
            assert 0 < row[one]["largest"] < 1e-4
        assert row["between"]["largest"] <= row["torch"]["largest"] + row["fp32"]["largest"]
        assert row["fp16"]["cosine"] > 0.9999
        assert 1e-4 < row["fp16"]["relative_rms"] < 1e-2  # values are rounded, not weights alone
        assert row["seconds"].keys() == {"float64", "torch", "export", "fp32", "fp16"}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]  # graphs are large, and gone
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    assert table[-1].startswith("| `vae_encoder` | MOMENTS | ")


def test_an_unknown_leaf_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--leaves", "unet"])
