"""Two checkouts, by turns: here this one, and this one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bench import against
from demo import portrait


def test_every_part_of_a_clip_is_measured_in_both(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(portrait.clip(1.0, (160, 160)))
    arguments = [str(against.ROOT), str(clip), "--turns", "3", "--repository", str(exported)]
    monkeypatch.setattr(sys, "argv", ["against", *arguments])
    against.main()
    rows = [row.strip("| ").split(" | ") for row in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        ["clip.mp4", part] for part in ("probe", "client", "wav2lip_preprocess", "lipwarp_preprocess")
    ]
    for _, _, other, this, saved, quartiles in rows:
        assert float(other) > 0
        assert float(this) > 0
        low, high = map(float, re.split(r" \.\. ", quartiles))
        assert low <= float(saved) <= high
