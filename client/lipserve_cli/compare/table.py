"""The table of `lipserve compare`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lipserve.text import printable
from lipserve_cli.compare.measure import Measured

_PARTS = {
    "load": "loading",
    "faces": "faces",
    "generate": "generation",
    "merge": "merging",
    "other": "other",
}


def show(first: Measured, second: Measured) -> None:
    """Print both columns, the ratio of the first to the second, and where the weights come from."""
    both = (first, second)
    table = Table(box=None, pad_edge=False)
    for title in ("", *(escape(printable(each.generator.name)) for each in both), "ratio"):
        table.add_column(title, justify="right" if title else "left")

    def row(title: str, values: Sequence[float], texts: Sequence[str]) -> None:
        table.add_row(title, *texts, f"{values[0] / values[1]:.1f}x" if values[1] > 0 else "-")

    sizes = [each.generator.parameters for each in both]
    row("parameters", sizes, [millions(size) for size in sizes])
    macs = [each.generator.macs for each in both]
    row("MACs a frame", macs, [f"{count / 1e9:.3g} G" for count in macs])
    for part, title in _PARTS.items():
        values = [getattr(each.seconds, part) for each in both]
        shares = [each.seconds.shares()[part] for each in both]
        row(
            title,
            values,
            [f"{value:.2f} s {share:4.0%}" for value, share in zip(values, shares, strict=True)],
        )
        if part == "load":
            own = [each.generator_load or 0.0 for each in both]
            row("  of it the generator", own, [f"{value:.2f} s     " if value else "-" for value in own])
    totals = [each.seconds.total for each in both]
    row("total", totals, [f"{total:.2f} s 100%" for total in totals])
    rates = [each.fps for each in both]
    row("FPS of all that", rates, [f"{rate:.1f}" for rate in rates])
    console = Console(highlight=False)
    console.print(table)
    for each in both:
        console.print(escape(printable(f"{each.generator.name}: {each.generator.origin}")), soft_wrap=True)


def millions(count: int) -> str:
    return f"{count / 1e6:.3g} M"
