"""What an evaluation found: `report.json`, and the same as tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lipserve.errors import SetupError
from lipserve_export.manifest import write_atomically
from lipserve_training.evaluate import features
from lipserve_training.evaluate.judge import Judged, Row
from lipserve_training.evaluate.plots import PLOTS
from lipserve_training.evaluate.run import Outcome, Settings, tools

START, END = "<!-- evaluate:start -->", "<!-- evaluate:end -->"

Value = Callable[[Row], float | None]

# What the tables show, in their order.
_COLUMNS: dict[str, tuple[Value, int]] = {
    "agreement": (lambda row: row.agreement, 2),
    "lag": (lambda row: row.lag, 0),
    "wrong audio": (lambda row: _mean(row.wrong_audio), 2),
    "lip-audio AUC": (lambda row: row.generated.auc, 2),
    "of the true clip": (lambda row: row.true.auc, 2),
    "open on silence": (lambda row: row.mouth_open_on_silence, 2),
    "PSNR, dB": (lambda row: row.psnr.generated, 1),
    "ceiling": (lambda row: row.psnr.ceiling, 1),
    "gap": (lambda row: row.psnr_gap, 1),
    "PSNR as served": (lambda row: row.psnr_served, 1),
    "SSIM": (lambda row: row.ssim.generated, 3),
    "L1": (lambda row: row.l1.generated, 1),
    "sharpness / ceiling": (lambda row: row.sharpness_ratio, 2),
    "sharpness as served": (lambda row: row.sharpness_served, 2),
    "border step": (lambda row: row.border_step.generated, 1),
    "LPIPS": (lambda row: row.lpips, 3),
    "LSE-D": (lambda row: row.generated.lse_d, 2),
    "LSE-C": (lambda row: row.generated.lse_c, 2),
    "AV offset": (lambda row: row.generated.av_offset, 0),
}


def build(outcomes: Sequence[Outcome], settings: Settings) -> dict[str, Any]:
    """Return the report. A figure that no clip gives is null; what was not measured is named.

    Raises:
        SetupError: no clip could be judged.
    """
    judged = [one for outcome in outcomes for one in outcome.judged]
    if not judged:
        reasons = "; ".join(f"{outcome.source}: {outcome.dropped}" for outcome in outcomes)
        raise SetupError(f"No clip could be judged. {reasons}.", "Give clips of people who talk.")
    rows = [one.row for one in judged]
    heldout = [row for row in rows if row.split == "heldout"]
    seen = [row for row in rows if row.split == "seen"]
    generator = tools(settings).generator
    return {
        "checkpoint": {
            "file": settings.checkpoint.name,
            "sha256": generator.sha256,
            "variant": generator.variant,
            "parameters": generator.parameters,
            "mel_offset_ms": generator.mel_offset_ms,
            "framing": generator.framing,
        },
        "clips_per_split": {split: sum(row.split == split for row in rows) for split in _splits(rows)},
        **_headline(rows, heldout, seen),
        "fid": _fid(judged, settings),
        "medians": {split: _medians([row for row in rows if row.split == split]) for split in _splits(rows)},
        "not_measured": _absent(settings),
        "dropped": {outcome.source: outcome.dropped for outcome in outcomes if outcome.dropped},
        "clips": [row.model_dump() for row in rows],
    }


def write(folder: Path, report: dict[str, Any]) -> str:
    """Write report.json and table.md into a folder and return the table."""
    rows = [Row.model_validate(row) for row in report["clips"]]
    text = f"{_medians_table(rows)}\n\n{_clips_table(rows)}\n\n{_notes(report)}\n"
    write_atomically(folder / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(folder / "table.md", text.encode())
    return text


def check_marks(path: Path) -> None:
    """Check that a document has the marks between which the table goes, or raise SetupError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}.", "Give a Markdown file.") from error
    if not 0 <= text.find(START) < text.find(END):
        raise SetupError(f"{path} lacks the marks of the table.", f"Put {START} and {END} on lines there.")


def put(path: Path, folder: Path) -> None:
    """Write the table of a folder between the marks of a document, and the plots into a folder beside it."""
    check_marks(path)
    head, _, rest = path.read_text().partition(START)
    _, _, tail = rest.partition(END)
    beside = path.parent / path.stem
    beside.mkdir(exist_ok=True)
    links = ""
    for plot, what in PLOTS.items():
        write_atomically(beside / plot, (folder / plot).read_bytes())
        links += f"\n![{what}]({beside.name}/{plot})\n"
    table = (folder / "table.md").read_text()
    write_atomically(path, f"{head}{START}\n{table}{links}{END}{tail}".encode())


def _headline(rows: list[Row], heldout: list[Row], seen: list[Row]) -> dict[str, Any]:
    """Return the figures that a generator is judged by."""
    judged = heldout + seen
    return {
        "lip_motion_agreement": {
            "heldout_median": _median(row.agreement for row in heldout),
            "heldout_lag_frames": _median(row.lag for row in heldout),
            "heldout_within_one_frame": _mean([abs(row.lag) <= 1 for row in heldout]),
            "wrong_audio_median": _median(r for row in heldout for r in row.wrong_audio),
            "above_wrong_audio": _mean([row.agreement > r for row in heldout for r in row.wrong_audio]),
            "seen_median": _median(row.agreement for row in seen),
        },
        "lip_audio_auc": {
            "generated": _mean([row.generated.auc for row in heldout]),
            "true": _mean([row.true.auc for row in heldout]),
            "seen_generated": _mean([row.generated.auc for row in seen]),
            "seen_true": _mean([row.true.auc for row in seen]),
        },
        "mouth_open_on_silence": _median(row.mouth_open_on_silence for row in judged),
        "border_step": _median(row.border_step.generated for row in judged),
        "sharpness_ratio": _median(row.sharpness_ratio for row in judged),
        "psnr_gap": {
            "seen_median": _median(row.psnr_gap for row in seen),
            "heldout_median": _median(row.psnr_gap for row in heldout),
            "seen_median_served": _median(row.psnr.ceiling - row.psnr_served for row in seen),
            "heldout_median_served": _median(row.psnr.ceiling - row.psnr_served for row in heldout),
        },
    }


def _fid(judged: list[Judged], settings: Settings) -> dict[str, Any]:
    """Return the Fréchet distances of generated and ceiling faces from the true ones, all frames pooled."""
    made, ceiling, true = (np.concatenate([one.features[i] for one in judged]) for i in range(3))
    return {
        "features": settings.features.name if settings.features else features.OWN,
        "frames": len(true),
        "generated": features.frechet(made, true),
        "ceiling": features.frechet(ceiling, true),
    }


def _absent(settings: Settings) -> dict[str, str]:
    missing = {}
    if settings.syncnet is None:
        missing["LSE-D, LSE-C, AV offset"] = "no SyncNet weights were given (--syncnet)"
    if settings.lpips is None:
        missing["LPIPS"] = "no weights were given (--lpips)"
    if settings.features is None:
        missing["FID comparable with published values"] = "no feature network was given (--features)"
    return missing


def _medians(rows: list[Row]) -> dict[str, float | None]:
    return {name: _median(value(row) for row in rows) for name, (value, _) in _COLUMNS.items()}


def _splits(rows: list[Row]) -> list[str]:
    return [split for split in ("heldout", "seen", "trained") if any(row.split == split for row in rows)]


def _medians_table(rows: list[Row]) -> str:
    splits = _splits(rows)
    medians = {split: _medians([row for row in rows if row.split == split]) for split in splits}
    lines = [
        ["median of"] + [f"{split}, {sum(row.split == split for row in rows)} clips" for split in splits]
    ]
    for name, (_, digits) in _COLUMNS.items():
        cells = [_cell(medians[split][name], digits) for split in splits]
        if any(cells):
            lines.append([name, *cells])
    return _markdown(lines)


def _clips_table(rows: list[Row]) -> str:
    shown = {
        name: entry for name, entry in _COLUMNS.items() if any(entry[0](row) is not None for row in rows)
    }
    lines = [["clip", "speaker", "people", "frames", *shown]]
    for row in rows:
        cells = [_cell(value(row), digits) for value, digits in shown.values()]
        lines.append([row.clip, row.speaker, row.split, str(row.frames), *cells])
    return _markdown(lines)


def _notes(report: dict[str, Any]) -> str:
    fid = report["fid"]
    lines = [
        f"FID {fid['generated']:.3g}, of the ceiling {fid['ceiling']:.3g} "
        f"(features {fid['features']}; {fid['frames']} frames)."
    ]
    lines += [f"Not measured: {name}: {reason}." for name, reason in report["not_measured"].items()]
    lines += [f"Dropped: {name}: {reason}." for name, reason in report["dropped"].items()]
    return "\n\n".join(lines)


def _markdown(lines: list[list[str]]) -> str:
    head, *body = lines
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _median(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
