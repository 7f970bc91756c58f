"""The sweep as a picture: what each boundary costs, what each layer costs alone, and what it saves."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lipserve_training.quantize.report import Report

_INT8, _HIGH, _PLAIN, _LIMIT = "#1f6f8b", "#d1495b", "#444444", "#b08900"


def draw(report: Report) -> bytes:
    """Return the plot as a PNG file."""
    count = len(report.layers)
    figure = Figure(figsize=(max(10.0, 0.3 * count + 4), 12), layout="constrained")
    cost, likeness, alone = figure.subplots(3, 1)
    figure.suptitle(
        f"INT8 in the {report.variant} generator: {report.calibration} calibration on "
        f"{report.calibrated_on.crops} crops, judged on {report.judged_on.crops} of other clips"
    )
    _draw_cost(cost, report)
    _draw_likeness(likeness, report)
    _draw_alone(alone, report)
    for axes in (cost, likeness, alone):
        axes.set_xlim(-0.6, count + 0.6)
        axes.grid(alpha=0.25)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _draw_cost(axes: Axes, report: Report) -> None:
    losses = [trial.loss for trial in report.boundaries.values()]
    axes.plot(list(report.boundaries), losses, "o-", color=_PLAIN, label="first b layers INT8")
    best = report.boundaries[report.best_boundary]
    flat = [
        (report.tolerance, _LIMIT, "--", f"tolerance: {report.tolerance:g}"),
        (report.paper.loss, _HIGH, ":", f"paper's choice: {report.paper.saving:.0%} of MACs"),
        (report.mixed.loss, _INT8, "-.", f"best mixture: {report.mixed.saving:.0%} of MACs"),
    ]
    for loss, colour, style, label in flat:
        axes.axhline(loss, color=colour, linestyle=style, label=label)
    axes.axvline(report.best_boundary, color=_INT8, linewidth=4, alpha=0.3,
                 label=f"best boundary, {report.best_boundary}: {best.saving:.0%} of MACs")  # fmt: skip
    axes.set_ylim(0)
    axes.set_ylabel("L1 from the FP32 picture\n(levels of 0..255)")
    _label_boundaries(axes, report)
    _legend(axes, axes.get_legend_handles_labels()[0], 5)


def _draw_likeness(axes: Axes, report: Report) -> None:
    trials = report.boundaries
    lossy = {b: trial.verdict.fp32.psnr for b, trial in trials.items()}
    lossy = {b: psnr for b, psnr in lossy.items() if math.isfinite(psnr)}
    axes.plot(list(lossy), list(lossy.values()), "o-", color=_PLAIN, label="against the FP32 picture")
    axes.plot(list(trials), [trial.verdict.truth.psnr for trial in trials.values()], "^-", color=_INT8,
              label="against the true picture")  # fmt: skip
    axes.axhline(report.fp32.psnr, color=_INT8, linestyle=":", label="FP32 against the true picture")
    axes.set_ylabel("PSNR inside the mask (dB)")
    _label_boundaries(axes, report)
    _legend(axes, axes.get_legend_handles_labels()[0], 3)


def _draw_alone(axes: Axes, report: Report) -> None:
    place = {layer.name: number for number, layer in enumerate(report.layers, 1)}
    total = sum(layer.macs for layer in report.layers)
    for group, trial in zip(report.groups, report.alone, strict=True):
        first, last = place[group[0]], place[group[-1]]
        axes.bar((first + last) / 2, trial.loss, width=last - first + 0.7,
                 color=_INT8 if set(group) <= set(report.mixed.int8) else _HIGH)  # fmt: skip
    axes.set_ylabel("L1 with this layer alone in INT8\n(levels of 0..255)")
    axes.set_xticks(list(place.values()), [layer.label for layer in report.layers], rotation=90)
    shares = axes.twinx()
    percent = [100 * layer.macs / total for layer in report.layers]
    (line,) = shares.plot(list(place.values()), percent, "k.--", linewidth=0.7,
                          label="its share of the multiplications")  # fmt: skip
    shares.set_ylim(0)
    shares.set_ylabel("share (%)")
    marks = [Patch(color=_INT8, label="INT8 in the best mixture"), Patch(color=_HIGH, label="high there")]
    _legend(axes, [*marks, line], 3)


def _legend(axes: Axes, handles: Sequence[Artist], columns: int) -> None:
    """Put the legend above the plot, where it hides nothing."""
    axes.legend(
        handles=handles, ncols=columns, fontsize="small", frameon=False,
        loc="lower center", bbox_to_anchor=(0.5, 1.0),
    )  # fmt: skip


def _label_boundaries(axes: Axes, report: Report) -> None:
    axes.set_xlabel("boundary b: the first b convolutions in INT8")
    axes.set_xticks(list(report.boundaries), [str(b) for b in report.boundaries])
