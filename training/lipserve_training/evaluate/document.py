"""Updates a document with tables and plots of an evaluation, between two marks."""

from __future__ import annotations

from pathlib import Path

from lipserve.errors import SetupError
from lipserve_export.fetch.files import write_atomically
from lipserve_training.evaluate.plots import PLOTS

START, END = "<!-- evaluate:start -->", "<!-- evaluate:end -->"


def check(path: Path) -> None:
    """Check that a document has the marks between which the table goes, or raise SetupError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}.", "Give a Markdown file.") from error
    if not 0 <= text.find(START) < text.find(END):
        raise SetupError(
            f"{path} lacks the marks of the table.", f"Write {START} and {END} on lines of their own in it."
        )


def put(path: Path, folder: Path) -> None:
    """Write the table of a folder between the marks of a document, and the plots into a folder beside it."""
    check(path)
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
