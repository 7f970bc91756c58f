"""`make demo` and `make bench`, as a user runs them, on a short clip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from demo import portrait

pytestmark = [pytest.mark.serve, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_leaves_a_video_a_report_and_a_picture(exported_lipwarp: Path, tmp_path: Path) -> None:
    told = _run("demo", "--repository", exported_lipwarp, "--folder", tmp_path)
    for name in ("out.mp4", "report.json", "contact_sheet.png"):
        assert str(tmp_path / name) in told
    assert "noise" not in told
    with av.open(str(tmp_path / "out.mp4")) as film:
        video, sound = film.streams.video[0], film.streams.audio[0]
        assert (video.codec_context.name, video.frames) == ("h264", 150)
        assert (sound.codec_context.name, sound.rate) == ("aac", 22_050)
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["frames"], report["faceless_frames"]) == (150, 0)
    assert (report["tier"], report["covered_frames"]) == ("lipwarp", 0)
    assert report["weights"].startswith("lip_renderer.safetensors, sha256 ")
    sheet = cv2.imread(str(tmp_path / "contact_sheet.png"))
    assert sheet.shape[1] == 1920
    above, below = sheet[28 : 28 + 192], sheet[28 + 192 + 28 : 28 + 192 + 28 + 192]
    changed = np.abs(above.astype(int) - below).reshape(192, 10, 192, 3).max((0, 2, 3))
    assert (changed > 30).all()  # ten frames, each with another mouth
    assert np.abs(above[:80].astype(int) - below[:80]).mean() < 3  # and the same head


def test_a_demo_of_a_missing_file_names_the_file(exported: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo", "--repository", exported, "--folder", tmp_path]
    done = subprocess.run(
        [*command, "--video", tmp_path / "none.mp4"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode != 0
    assert "none.mp4" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.whole  # of the same parts of a clip: unit/bench/test_against.py
def test_the_bench_writes_a_row_for_each_clip(exported: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(portrait.clip(1.0, (256, 256)))
    _run("bench", clip, "--repository", exported, "--folder", tmp_path, "--seconds", "3", "--quick")
    row = json.loads((tmp_path / "report.json").read_text())["clips"][0]
    assert (row["name"], row["width"], row["height"], row["frames"]) == ("clip.mp4", 256, 256, 75)
    assert row["realtime_factor"] == pytest.approx(row["seconds"] / row["wall_seconds"], rel=0.02)
    assert row["cpu_ms_per_frame"] == pytest.approx(
        1e3 * row["cores_got"] * row["wall_seconds"] / row["frames"], rel=0.05
    )
    assert sum(row["share_per_stage"].values()) == pytest.approx(1.0, abs=0.01)
    assert row["libraries_cpu_ms_per_frame"]["sum"] > 1
    assert row["peak_rss_mb"] > 300
    assert row["face_found"] == 1.0
