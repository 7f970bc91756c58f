"""What an evaluation looks like: opening curves, agreement, and sheets of faces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lipserve_training.evaluate.judge import Judged
from lipserve_training.lips import FPS

PLOTS = {"agreement.png": "lip-motion agreement of every clip", "openings.png": "the mouth's opening in time"}
"""File names of the plots, and what they show."""

_COLUMNS = 4
_COLOURS = {"heldout": "#c0392b", "seen": "#2471a3", "trained": "#7f8c8d"}


def write(folder: Path, judged: Sequence[Judged]) -> None:
    """Write openings.png, agreement.png, a sheet for each clip and all of them, halved, into a folder."""
    _openings(judged).savefig(folder / "openings.png", dpi=100)
    _agreement(judged).savefig(folder / "agreement.png", dpi=100)
    (folder / "sheets").mkdir(exist_ok=True)
    for one in judged:
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in one.row.clip)
        _save(folder / "sheets" / f"{name}.png", one.sheet)
    halves = [cv2.resize(one.sheet, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for one in judged]
    _save(folder / "sheet.png", np.concatenate(halves).astype(np.uint8))


def _openings(judged: Sequence[Judged]) -> Figure:
    rows = -(-len(judged) // _COLUMNS)
    figure = Figure(figsize=(4.2 * _COLUMNS, 0.6 + 1.9 * rows), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for one, axis in zip(judged, axes, strict=False):
        _curves(axis, one)
    for axis in axes[len(judged) :]:
        axis.axis("off")
    figure.suptitle("mouth opening over eye distance: true (grey) and generated; seconds")
    return figure


def _curves(axis: Axes, one: Judged) -> None:
    made, true = one.openings
    seconds = np.arange(len(true)) / FPS
    axis.plot(seconds, true, color="#555555", linewidth=1.4)
    axis.plot(seconds, made, color=_COLOURS[one.row.split], linewidth=1.4)
    axis.set_title(f"{one.row.clip}  r {one.row.agreement:.2f}, lag {one.row.lag}", fontsize=8)
    axis.tick_params(labelsize=7)


def _agreement(judged: Sequence[Judged]) -> Figure:
    rows = [one.row for one in judged]
    figure = Figure(figsize=(max(6, 1.5 + 0.42 * len(rows)), 5), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(rows))
    axis.bar(places, [row.agreement for row in rows], color=[_COLOURS[row.split] for row in rows])
    for place, row in zip(places, rows, strict=True):
        axis.plot([place] * len(row.wrong_audio), row.wrong_audio, "k_", markersize=9)
    for split, colour in _COLOURS.items():
        if any(row.split == split for row in rows):
            axis.bar(0, 0, color=colour, label=split)
    axis.plot([], [], "k_", label="driven by another clip's speech")
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set_xticks(places, [row.clip for row in rows], rotation=60, ha="right", fontsize=7)
    axis.set_ylabel("lip-motion agreement")
    axis.legend(fontsize=8)
    return figure


def _save(path: Path, image: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", image[:, :, ::-1])
    path.write_bytes(data.tobytes())
