"""Report of an evaluation: `report.json` and its tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lipserve.contracts import TierName
from lipserve.errors import SetupError
from lipserve_export.fetch.files import write_atomically
from lipserve_training.evaluate import closure, features
from lipserve_training.evaluate.clips import LONGEST
from lipserve_training.evaluate.judge import Judged
from lipserve_training.evaluate.rows import ColourRow, Row, TierRow
from lipserve_training.evaluate.run import Outcome, Settings, tools
from lipserve_training.evaluate.scene import SAMPLED
from lipserve_training.models import lpips

Value = Callable[[TierRow], float | None]

# What the tables of clips show, in their order.
_COLUMNS: dict[str, tuple[Value, int]] = {
    "agreement": (lambda row: row.agreement, 2),
    "lag": (lambda row: row.lag, 0),
    "wrong audio": (lambda row: _mean(row.wrong_audio), 2),
    "amplitude": (lambda row: row.amplitude, 2),
    "open on silence": (lambda row: row.open_on_silence, 2),
    "LipLeak": (lambda row: row.lip_leak, 2),
    "at m, b, p": (lambda row: _median(row.closures), 2),
    "sharpness": (lambda row: row.sharpness, 2),
    "PSNR, dB": (lambda row: row.psnr, 1),
    "LPIPS": (lambda row: row.lpips, 3),
    "untouched": (lambda row: row.lpips_untouched, 3),
    "chroma shift": (lambda row: row.chroma_shift, 1),
    "border step": (lambda row: row.border_step, 1),
    "flicker": (lambda row: row.flicker, 2),
    "LSE-D": (lambda row: row.sync.lse_d if row.sync else None, 2),
    "LSE-C": (lambda row: row.sync.lse_c if row.sync else None, 2),
    "AV offset": (lambda row: row.sync.av_offset if row.sync else None, 0),
}


def build(outcomes: Sequence[Outcome], settings: Settings) -> dict[str, Any]:
    """Return the report: of each tier the figures over people held out (and over the others where there are
    any), a row for each clip. A figure that no clip gives is null; what was not measured is named.

    Raises:
        SetupError: no clip could be judged.
    """
    judged = [outcome.judged for outcome in outcomes if outcome.judged]
    if not judged:
        reasons = "; ".join(f"{outcome.source}: {outcome.dropped}" for outcome in outcomes)
        raise SetupError(f"No clip could be judged. {reasons}.", "Give videos of people who talk.")
    rows = [one.row for one in judged]
    colour = [outcome.colour[0] for outcome in outcomes if outcome.colour]
    heldout = [row for row in rows if row.split == "heldout"]
    known = [row for row in rows if row.split != "heldout"]
    weights = tools(settings).leaves.weights
    return {
        "frames_per_clip": LONGEST,
        "frames_for_lpips": SAMPLED,
        "tiers": {
            tier: {"weights": weights[tier], **figures(tier, heldout, colour), "fid": _fid(tier, judged)}
            for tier in settings.tiers
        },
        "known_people": {tier: figures(tier, known, []) for tier in settings.tiers} if known else None,
        "true": {"closure_share": closure.share([x for row in heldout for x in row.closures])},
        "not_measured": _absent(settings),
        "dropped": {outcome.source: outcome.dropped for outcome in outcomes if outcome.dropped},
        "clips": [row.model_dump() for row in rows],
        "colour_clips": [row.model_dump() for row in colour],
    }


def figures(tier: TierName, rows: Sequence[Row], colour: Sequence[ColourRow]) -> dict[str, Any]:
    """Return the figures of a tier: medians over clips, unless the name says otherwise.

    Shares are of all pairs, of all frames of silence, of all m, b and p.
    """
    own = [row.tiers[tier] for row in rows]
    grid = [row.tiers[tier] for row in rows if row.sentence]
    other = [row.tiers[tier] for row in rows if not row.sentence]
    synced = [row.tiers[tier].agreement for row in rows if not row.sentence and row.in_sync]
    shifts = [row.chroma_shift for row in own] + [row.chroma_shift[tier] for row in colour]
    return {
        "agreement_grid_median": _median(row.agreement for row in grid),
        "agreement_grid_min": min((row.agreement for row in grid), default=None),
        "lags_grid": sorted({row.lag for row in grid}),
        "agreement_other_median": _median(row.agreement for row in other),
        "agreement_other_min_in_sync": min(synced, default=None),
        "right_above_wrong_share": _mean([row.agreement > r for row in own for r in row.wrong_audio]),
        "pairs": sum(len(row.wrong_audio) for row in own),
        "amplitude_median": _median(row.amplitude for row in own),
        "open_on_silence": _median(row.open_on_silence for row in own),
        "lip_leak": _mean([row.lip_leak for row in own]),
        "closure_share": closure.share([opening for row in own for opening in row.closures]),
        "closures": sum(len(row.closures) for row in own),
        "sharpness_median": _median(row.sharpness for row in own),
        "sharpness_min": min((row.sharpness for row in own), default=None),
        "psnr_median": _median(row.psnr for row in own),
        "lpips_median": _median(row.lpips for row in own),
        "lpips_untouched_median": _median(row.lpips_untouched for row in own),
        "chroma_shift_max": max(shifts, default=None),
        "border_step": _median(row.border_step for row in own),
        "border_step_unnatural": _median(row.border_step_unnatural for row in own),
        "flicker_ratio": _median(row.flicker for row in own),
    }


def write(folder: Path, report: dict[str, Any]) -> str:
    """Write report.json and table.md into a folder and return the table."""
    rows = [Row.model_validate(row) for row in report["clips"]]
    parts = [_tiers_table(report), *(_clips_table(tier, rows) for tier in report["tiers"]), _notes(report)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    write_atomically(folder / "report.json", (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(folder / "table.md", text.encode())
    return text


def _fid(tier: TierName, judged: Sequence[Judged]) -> float | None:
    """Return the Fréchet distance of a tier's faces from the true ones, sampled in all clips."""
    if not all(one.features["true"].size for one in judged):
        return None
    made = np.concatenate([one.features[tier] for one in judged])
    return features.frechet(made, np.concatenate([one.features["true"] for one in judged]))


def _absent(settings: Settings) -> dict[str, str]:
    missing = {}
    if lpips.weights() is None:
        missing["LPIPS"] = f"the package {lpips.PACKAGE} is not installed"
    if not closure.installed():
        missing["closure at m, b, p"] = f"the package {closure.PACKAGE} is not installed"
    elif settings.alignments is None:
        missing["closure at m, b, p"] = "no table of words was given (--alignments)"
    if settings.syncnet is None:
        missing["LSE-D, LSE-C, AV offset"] = "no SyncNet weights were given (--syncnet)"
    if settings.features is None:
        missing["FID"] = "no feature network was given (--features)"
    return missing


def _tiers_table(report: dict[str, Any]) -> str:
    tiers = report["tiers"]
    names = [name for name in next(iter(tiers.values())) if name not in ("weights", "pairs", "closures")]
    lines = [["people held out", *tiers]]
    for name in names:
        cells = [_cell(figures[name], 3) for figures in tiers.values()]
        if any(cells):
            lines.append([name, *cells])
    return _markdown(lines)


def _clips_table(tier: TierName, rows: Sequence[Row]) -> str:
    shown = {
        name: entry
        for name, entry in _COLUMNS.items()
        if any(entry[0](row.tiers[tier]) is not None for row in rows)
    }
    lines = [[tier, "speaker", "people", "frames", "face", "offset", "in sync", *shown]]
    for row in rows:
        cells = [_cell(value(row.tiers[tier]), digits) for value, digits in shown.values()]
        about = [row.clip, row.speaker, row.split, str(row.frames), str(row.face_side), str(row.offset)]
        lines.append([*about, "yes" if row.in_sync else "no", *cells])
    return _markdown(lines)


def _notes(report: dict[str, Any]) -> str:
    share = report["true"]["closure_share"]
    lines = [] if share is None else [f"Lips are shut at {share:.0%} of m, b and p in the true videos."]
    for row in report["colour_clips"]:
        shifts = ", ".join(f"{tier} {shift:.1f}" for tier, shift in row["chroma_shift"].items())
        lines.append(f"Chroma shift of {row['clip']}: {shifts}.")
    lines += [f"Not measured: {name}: {reason}." for name, reason in report["not_measured"].items()]
    lines += [f"Dropped: {name}: {reason}." for name, reason in report["dropped"].items()]
    return "\n\n".join(lines)


def _markdown(lines: list[list[str]]) -> str:
    head, *body = lines
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def _cell(value: float | list[int] | None, digits: int) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else f"{value:.{digits}f}"


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
