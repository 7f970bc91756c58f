"""A profile for people: a line for each stage and for each leaf model that it calls."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from lipserve_client._profiling.profile import LeafProfile, StageProfile

_COLUMNS = ("calls", "rows", "seconds", "share", "computing", "ms a row")


def profile_table(stages: Sequence[StageProfile], peak: float | None) -> Table:
    """Return the table of what `stages` did.

    Args:
        peak: 10^12 operations a second that the server's device can do at best, for the share of it.
    """
    arithmetic = any(leaf.gflop is not None for stage in stages for leaf in stage.leaves)
    further = ("TFLOP", "TFLOP/s", *(("of peak", "floor s") if peak else ())) if arithmetic else ()
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for title in (*_COLUMNS, *further):
        table.add_column(title, justify="right")
    total = sum(stage.seconds for stage in stages)
    for stage in stages:
        table.add_row(stage.name, str(stage.calls), "", *_times(stage.seconds, total), style="bold")
        for leaf in stage.leaves:
            numbers = (
                f"{leaf.computing:.3f}",
                f"{1e3 * leaf.computing / leaf.rows:.2f}",
                *(_arithmetic(leaf, peak) if arithmetic else ()),
            )
            times = _times(leaf.seconds, total)
            table.add_row(f"  {leaf.name}", str(leaf.calls), str(leaf.rows), *times, *numbers)
        if stage.leaves:
            table.add_row("  the rest of it", "", "", *_times(stage.own, total))
    table.add_row("all stages", "", "", *_times(total, total), style="bold")
    return table


def _times(seconds: float, total: float) -> tuple[str, str]:
    return f"{seconds:.3f}", f"{seconds / total:.1%}"


def _arithmetic(leaf: LeafProfile, peak: float | None) -> tuple[str, ...]:
    if leaf.gflop is None or leaf.tflop_per_second is None:
        return ()
    reached = (f"{leaf.gflop / 1e3:.3f}", f"{leaf.tflop_per_second:.3f}")
    if peak is None:
        return reached
    return (*reached, f"{leaf.tflop_per_second / peak:.1%}", f"{leaf.gflop / 1e3 / peak:.4f}")
