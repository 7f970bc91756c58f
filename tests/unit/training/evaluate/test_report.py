from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipserve.errors import SetupError
from lipserve_training.evaluate import plots, report
from lipserve_training.evaluate.judge import Beside, Judged, Row, Sync
from lipserve_training.evaluate.run import Outcome, Settings

Marked = Callable[[str], Path]


def row(clip: str, **changes: Any) -> Row:
    both = Beside(generated=30, ceiling=34)
    fields: dict[str, Any] = {
        "clip": clip, "speaker": "s3", "split": "heldout", "frames": 75, "offset": 0,
        "agreement": 0.6, "lag": 0, "agreement_at_zero": 0.55, "wrong_audio": [0.1, 0.2],
        "mouth_open_on_silence": 0.1, "generated": Sync(auc=0.8, score=0.3), "true": Sync(auc=0.9, score=0.4),
        "psnr": both, "psnr_gap": 4, "ssim": both, "l1": both, "sharpness": both, "sharpness_ratio": 0.75,
        "psnr_served": 32, "sharpness_served": 0.9, "border_step": Beside(generated=2, ceiling=0.1),
    }  # fmt: skip
    return Row(**{**fields, **changes})


def judged(clip: str, **changes: Any) -> Judged:
    rng = np.random.default_rng(len(clip))
    sheet = np.zeros((384, 1536, 3), np.uint8)
    return Judged(row(clip, **changes), rng.random((2, 75)), rng.random((3, 75, 4)), sheet)


@pytest.fixture
def outcomes() -> list[Outcome]:
    return [
        Outcome("a", [judged("a")]),
        Outcome("b", [judged("b", agreement=0.15, lag=-3, mouth_open_on_silence=0.3)]),
        Outcome("c", [judged("c", agreement=0.7, lag=1, psnr_gap=6)]),
        Outcome("d", [judged("d", split="seen", speaker="s1", agreement=0.9, psnr_gap=2)]),
        Outcome("e", dropped="no sound"),
    ]


def test_the_headline_is_of_medians_over_clips(
    outcomes: list[Outcome], checkpoint: Path, exported: Path
) -> None:
    found = report.build(outcomes, Settings(checkpoint, exported))
    assert found["lip_motion_agreement"] == {
        "heldout_median": 0.6,
        "heldout_lag_frames": 0,
        "heldout_within_one_frame": pytest.approx(2 / 3),
        "wrong_audio_median": pytest.approx(0.15),
        "above_wrong_audio": pytest.approx(5 / 6),
        "seen_median": 0.9,
    }
    assert found["lip_audio_auc"]["generated"] == pytest.approx(0.8)
    assert found["lip_audio_auc"]["true"] == pytest.approx(0.9)
    assert found["psnr_gap"] == {
        "seen_median": 2, "heldout_median": 4, "seen_median_served": 2, "heldout_median_served": 2,
    }  # fmt: skip
    assert found["mouth_open_on_silence"] == pytest.approx(0.1)
    assert (found["border_step"], found["sharpness_ratio"]) == (2, 0.75)
    assert found["clips_per_split"] == {"heldout": 3, "seen": 1}
    assert found["dropped"] == {"e": "no sound"}
    assert found["checkpoint"]["mel_offset_ms"] == -40
    assert found["checkpoint"]["framing"] == "similarity"
    assert "random convolutions" in found["fid"]["features"]
    assert set(found["not_measured"]) >= {"LPIPS", "LSE-D, LSE-C, AV offset"}


def test_a_split_without_clips_is_null_and_trained_clips_count_for_nothing(
    checkpoint: Path, exported: Path
) -> None:
    only = [Outcome("a", [judged("a"), judged("b", split="trained", agreement=1, border_step=Beside(
        generated=50, ceiling=0))])]  # fmt: skip
    found = report.build(only, Settings(checkpoint, exported))
    assert found["lip_motion_agreement"]["heldout_median"] == 0.6
    assert found["lip_motion_agreement"]["seen_median"] is None
    assert found["psnr_gap"]["seen_median"] is None
    assert found["border_step"] == 2


def test_nothing_judged_is_an_error_with_the_reasons(checkpoint: Path, exported: Path) -> None:
    with pytest.raises(SetupError, match="e: no sound"):
        report.build([Outcome("e", dropped="no sound")], Settings(checkpoint, exported))


def test_files_tables_and_plots(
    outcomes: list[Outcome], checkpoint: Path, exported: Path, tmp_path: Path
) -> None:
    found = report.build(outcomes, Settings(checkpoint, exported))
    text = report.write(tmp_path, found)
    plots.write(tmp_path, [one for outcome in outcomes for one in outcome.judged])
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(found))
    assert (tmp_path / "table.md").read_text() == text
    assert "| agreement | 0.60 | 0.90 |" in text
    assert "| b | s3 | heldout | 75 | 0.15 | -3 | 0.15 |" in text
    assert "LSE-D" not in text.partition("Not measured")[0]
    assert "Dropped: e: no sound." in text
    for name in ("openings.png", "agreement.png", "sheet.png", "sheets/a.png", "sheets/d.png"):
        assert (tmp_path / name).stat().st_size > 500


def test_table_and_plots_go_between_the_marks(marked: Marked, tmp_path: Path) -> None:
    path = marked(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    for plot in plots.PLOTS:
        (tmp_path / plot).write_bytes(plot.encode())
    for table in ("| new |\n", "| newer |\n"):
        (tmp_path / "table.md").write_text(table)
        report.put(path, tmp_path)
    before, _, rest = path.read_text().partition(f"{report.START}\n")
    inside, _, after = rest.partition(report.END)
    assert (before, after) == ("before\n", "\nafter\n")
    assert inside.startswith("| newer |\n")
    assert inside.count("](") == len(plots.PLOTS)
    for plot in plots.PLOTS:
        assert f"]({path.stem}/{plot})" in inside
        assert (path.parent / path.stem / plot).read_bytes() == plot.encode()


@pytest.mark.parametrize("text", ["no marks", report.START, f"{report.END} {report.START}"])
def test_a_document_without_marks_is_refused(marked: Marked, text: str) -> None:
    with pytest.raises(SetupError, match="lacks the marks"):
        report.check_marks(marked(text))
