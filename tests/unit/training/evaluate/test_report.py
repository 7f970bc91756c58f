from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipserve.errors import SetupError
from lipserve_training.evaluate import plots, report
from lipserve_training.evaluate.judge import Judged
from lipserve_training.evaluate.judged import TIERS
from lipserve_training.evaluate.rows import ColourRow, Row, TierRow
from lipserve_training.evaluate.run import Outcome, Settings

FIELDS: dict[str, Any] = {
    "agreement": 0.6, "lag": 0, "agreement_at_zero": 0.55, "wrong_audio": [0.1, 0.2], "amplitude": 0.9,
    "open_on_silence": 0.1, "lip_leak": 0.0, "closures": [], "sharpness": 0.8, "psnr": 25, "lpips": 0.06,
    "lpips_untouched": 0.1, "chroma_shift": 0.5, "border_step": 2, "border_step_unnatural": 0.5,
    "flicker": 1.1,
}  # fmt: skip


def judged(clip: str, changes: dict[str, Any] | None = None, **about: Any) -> Judged:
    """A clip in which wav2lip has FIELDS, and lipwarp has the changes as well."""
    rng = np.random.default_rng(len(clip))
    own = TierRow(**FIELDS)
    row = Row(**{
        "clip": clip, "speaker": "s3", "split": "heldout", "sentence": None, "frames": 75, "face_side": 120,
        "offset": 0, "in_sync": True, "closures": [],
        "tiers": {"wav2lip": own, "lipwarp": own.model_copy(update=changes or {})}, **about,
    })  # fmt: skip
    openings = {name: rng.random(75) for name in ("true", *TIERS)}
    seen = {name: rng.random((12, 2)) + 5 * (name == "lipwarp") for name in ("true", *TIERS)}
    return Judged(row, openings, seen, np.zeros((40, 60, 3), np.uint8))


@pytest.fixture
def outcomes() -> list[Outcome]:
    dark = ColourRow(clip="dark", frames=25, chroma_shift={"wav2lip": 9.0, "lipwarp": 0.7})
    grid = [
        judged(
            "a", {"agreement": 0.9, "lag": 1, "closures": [0.1, 0.3]}, sentence="sbia1a", closures=[0.0, 0.2]
        ),
        judged(
            "b", {"agreement": 0.8, "lip_leak": 0.3, "closures": [0.2]}, sentence="lbbc2a", closures=[0.4]
        ),
    ]
    other = [
        judged("c", {"agreement": 0.7, "lag": -3, "sharpness": 0.5, "lpips": 0.03}),
        judged("d", {"agreement": 0.15, "chroma_shift": 1.5}, in_sync=False),
        judged("e", {"agreement": 1.0, "lip_leak": 1.0}, split="seen", sentence="bbal7s"),
    ]
    found = [Outcome(number, one.row.clip, one) for number, one in enumerate(grid + other)]
    return [
        *found,
        Outcome(5, "dark", colour=(dark, np.zeros((9, 9, 3), np.uint8))),
        Outcome(6, "f", dropped="no sound"),
    ]


@pytest.fixture
def settings(exported: Path) -> Settings:
    return Settings(exported, TIERS, 0.2)


def test_a_tiers_figures_are_of_people_held_out(outcomes: list[Outcome], settings: Settings) -> None:
    found = report.build(outcomes, settings)
    tier = found["tiers"]["lipwarp"]
    assert tier["agreement_grid_median"] == pytest.approx(0.85)
    assert tier["agreement_grid_min"] == 0.8
    assert tier["lags_grid"] == [0, 1]
    assert tier["agreement_other_median"] == pytest.approx(0.425)
    assert tier["agreement_other_min_in_sync"] == 0.7  # nobody knows how the lips of d should move
    assert tier["right_above_wrong_share"] == 7 / 8
    assert tier["pairs"] == 8
    assert tier["open_on_silence"] == 0.1
    assert tier["lip_leak"] == pytest.approx(0.3 / 4)
    assert tier["closure_share"] == pytest.approx(2 / 3)
    assert (tier["sharpness_median"], tier["sharpness_min"]) == (0.8, 0.5)
    assert tier["lpips_median"] == 0.06
    assert tier["chroma_shift_max"] == 1.5
    assert (tier["border_step"], tier["border_step_unnatural"], tier["flicker_ratio"]) == (2, 0.5, 1.1)
    assert found["tiers"]["wav2lip"]["agreement_grid_median"] == 0.6
    assert found["tiers"]["wav2lip"]["chroma_shift_max"] == 9  # of the dark clip
    assert found["known_people"]["lipwarp"]["agreement_grid_median"] == 1
    assert found["true"]["closure_share"] == pytest.approx(2 / 3)
    assert found["dropped"] == {"f": "no sound"}
    assert [row["clip"] for row in found["clips"]] == list("abcde")
    assert found["colour_clips"][0]["chroma_shift"]["lipwarp"] == 0.7
    assert found["tiers"]["wav2lip"]["weights"].startswith("wav2lip_grid.pth")


def test_fid_is_that_of_the_pooled_features(outcomes: list[Outcome], settings: Settings) -> None:
    tiers = report.build(outcomes, settings)["tiers"]
    assert tiers["wav2lip"]["fid"] < 0.5
    assert tiers["lipwarp"]["fid"] == pytest.approx(50, rel=0.1)  # shifted by 5 in two features
    for outcome in outcomes:
        if outcome.judged:
            outcome.judged.features.update({name: np.zeros((0, 0)) for name in ("true", *TIERS)})
    assert report.build(outcomes, settings)["tiers"]["lipwarp"]["fid"] is None


def test_a_figure_that_no_clip_gives_is_null(settings: Settings) -> None:
    found = report.build([Outcome(0, "c", judged("c", {"lpips": None}))], settings)
    tier = found["tiers"]["lipwarp"]
    absent = {name for name, value in tier.items() if value is None}
    assert absent >= {"agreement_grid_median", "agreement_grid_min", "closure_share", "lpips_median"}
    assert found["true"]["closure_share"] is None
    assert found["known_people"] is None


def test_nothing_judged_is_an_error_with_the_reasons(settings: Settings) -> None:
    with pytest.raises(SetupError, match="f: no sound"):
        report.build([Outcome(0, "f", dropped="no sound")], settings)


def test_files_tables_plots_and_sheets(outcomes: list[Outcome], settings: Settings, tmp_path: Path) -> None:
    found = report.build(outcomes, settings)
    text = report.write(tmp_path, found)
    plots.write(tmp_path, [outcome.judged for outcome in outcomes if outcome.judged])
    plots.save_sheets(tmp_path / "sheets", {"s1/a.mpg": np.full((4, 5, 3), [255, 0, 9], np.uint8)})
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(found))
    assert (tmp_path / "table.md").read_text() == text
    assert "| agreement_grid_median | 0.600 | 0.850 |" in text
    assert "| lags_grid | 0 | 0, 1 |" in text
    assert "| c | s3 | heldout | 75 | 120 | 0 | yes | 0.70 | -3 |" in text
    assert "Lips are shut at 67% of m, b and p in the true videos." in text
    assert "Chroma shift of dark: wav2lip 9.0, lipwarp 0.7." in text
    assert "LSE-D" not in text.partition("Not measured")[0]
    assert "Dropped: f: no sound." in text
    for name in ("openings.png", "agreement.png"):
        assert (tmp_path / name).stat().st_size > 5000
    assert (tmp_path / "sheets/s1_a.mpg.png").read_bytes()[:4] == b"\x89PNG"
