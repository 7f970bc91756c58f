"""Plots of an evaluation: opening curves, agreement, pages of mouths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lipserve.contracts import TierName
from lipserve.quality.lips import FPS
from lipserve_training.evaluate.judge import Judged

PLOTS = {"agreement.png": "lip-motion agreement of every clip", "openings.png": "the mouth's opening in time"}
"""File names of the plots, and what they show."""

_COLUMNS = 4
_COLOURS = ("#2471a3", "#c0392b", "#1e8449")
_WIDTH = 0.8  # of a clip's place: its bars


def write(folder: Path, judged: Sequence[Judged]) -> None:
    """Write openings.png and agreement.png into a folder."""
    tiers = list(judged[0].row.tiers)
    colours = dict(zip(tiers, _COLOURS, strict=False))
    _openings(judged, colours).savefig(folder / "openings.png", dpi=100)
    _agreement(judged, colours).savefig(folder / "agreement.png", dpi=100)


def save_sheets(folder: Path, sheets: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write pages of mouths, by their clips' names, as PNG."""
    folder.mkdir(exist_ok=True)
    for clip, page in sheets.items():
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in clip)
        _, data = cv2.imencode(".png", page[:, :, ::-1])
        (folder / f"{name}.png").write_bytes(data.tobytes())


def _openings(judged: Sequence[Judged], colours: dict[TierName, str]) -> Figure:
    rows = -(-len(judged) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 0.6 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for one, axis in zip(judged, axes, strict=False):
        _curves(axis, one, colours)
    for axis in axes[len(judged) :]:
        axis.axis("off")
    axes[0].legend(fontsize=6)
    figure.suptitle("mouth opening over eye distance; seconds; agreement with the true one @ lag")
    return figure


def _curves(axis: Axes, one: Judged, colours: dict[TierName, str]) -> None:
    seconds = np.arange(one.row.frames) / FPS
    axis.plot(seconds, one.openings["true"], color="#555555", linewidth=1.4, label="true")
    for tier, colour in colours.items():
        axis.plot(seconds, one.openings[tier], color=colour, linewidth=1.2, label=tier)
    found = ", ".join(f"{row.agreement:.2f} @ {row.lag}" for row in one.row.tiers.values())
    axis.set_title(f"{one.row.clip}  {found}", fontsize=8)
    axis.tick_params(labelsize=7)


def _agreement(judged: Sequence[Judged], colours: dict[TierName, str]) -> Figure:
    figure = Figure(figsize=(max(6, 1.5 + 0.6 * len(judged)), 5), layout="constrained")
    axis = figure.subplots()
    width = _WIDTH / len(colours)
    for number, (tier, colour) in enumerate(colours.items()):
        rows = [one.row.tiers[tier] for one in judged]
        places = np.arange(len(rows)) + (number - (len(colours) - 1) / 2) * width
        axis.bar(places, [row.agreement for row in rows], width, color=colour, label=tier)
        for place, row in zip(places, rows, strict=True):
            axis.plot([place] * len(row.wrong_audio), row.wrong_audio, "k_", markersize=6)
    axis.plot([], [], "k_", label="driven by another clip's speech")
    axis.axhline(0, color="black", linewidth=0.6)
    names = [one.row.clip for one in judged]
    axis.set_xticks(np.arange(len(names)), names, rotation=60, ha="right", fontsize=7)
    axis.set_ylabel("lip-motion agreement")
    axis.legend(fontsize=8)
    return figure
