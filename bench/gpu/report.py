"""The report: one JSON file that runs add to, and the rows for docs/performance.md."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        part: vae, step or recipe. what: the leaf, or the recipe's title.
        way: how it ran. milliseconds: the median of `runs`, of the whole batch; None where it failed.
        tflop: 10^12 operations of the whole batch.
        error: why there is no time.
    """

    device: str
    part: str
    what: str
    resolution: int
    batch: int
    way: str
    milliseconds: float | None
    runs: int
    tflop: float
    peak: float | None
    memory_gb: float | None = None
    engine: str = ""
    error: str = ""

    @property
    def key(self) -> tuple[str, str, str, int, int, str]:
        """Identity of a measurement: a later one with the same key replaces it."""
        return self.device, self.part, self.what, self.resolution, self.batch, self.way

    @property
    def tflop_per_second(self) -> float | None:
        return None if self.milliseconds is None else 1e3 * self.tflop / self.milliseconds

    @property
    def share(self) -> float | None:
        """Of the peak."""
        return None if self.tflop_per_second is None or not self.peak else self.tflop_per_second / self.peak

    @property
    def fps(self) -> float | None:
        """Frames a second: of a recipe."""
        return None if self.milliseconds is None or self.part != "recipe" else 16e3 / self.milliseconds


class Report:
    """The rows of all runs so far, in `folder`/report.json and `folder`/report.md."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[tuple[str, str, str, int, int, str], Row] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if self._file.is_file():
            for fields in json.loads(self._file.read_text())["rows"]:
                known = {name: fields[name] for name in Row.__dataclass_fields__ if name in fields}
                self.add(Row(**known), write=False)

    @property
    def _file(self) -> Path:
        return self._folder / "report.json"

    def add(self, row: Row, write: bool = True) -> None:
        """Add a row, in place of an earlier one of the same; on the disk at once, as runs may be cut off."""
        self._rows[row.key] = row
        if write:
            rows = [
                asdict(row)
                | {"tflop_per_second": row.tflop_per_second, "share_of_peak": row.share, "fps": row.fps}
                for row in self._rows.values()
            ]
            self._file.write_text(json.dumps({"rows": rows}, indent=2) + "\n")
            (self._folder / "report.md").write_text(self.markdown())

    def markdown(self) -> str:
        """Return the table of docs/performance.md."""
        head = "| device | what | pixels | batch | way | ms | TFLOP/s | of peak | frames/s | GB |"
        lines = [head, "| --- " * 10 + "|"]
        for row in self._rows.values():
            lines.append(f"| {' | '.join(_cells(row))} |")
        return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    return [
        row.device,
        row.what,
        str(row.resolution),
        str(row.batch),
        row.engine or row.way,
        row.error or f"{row.milliseconds:.2f}",
        "" if row.tflop_per_second is None else f"{row.tflop_per_second:.1f}",
        "" if row.share is None else f"{row.share:.1%}",
        "" if row.fps is None else f"{row.fps:.2f}",
        "" if row.memory_gb is None else f"{row.memory_gb:.1f}",
    ]
