from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_training.evaluate import document, plots

Marked = Callable[[str], Path]


def test_table_and_plots_go_between_the_marks(marked: Marked, tmp_path: Path) -> None:
    path = marked(f"before\n{document.START}\nold\n{document.END}\nafter\n")
    for plot in plots.PLOTS:
        (tmp_path / plot).write_bytes(plot.encode())
    for table in ("| new |\n", "| newer |\n"):
        (tmp_path / "table.md").write_text(table)
        document.put(path, tmp_path)
    before, _, rest = path.read_text().partition(f"{document.START}\n")
    inside, _, after = rest.partition(document.END)
    assert (before, after) == ("before\n", "\nafter\n")
    assert inside.startswith("| newer |\n")
    assert inside.count("](") == len(plots.PLOTS)
    for plot in plots.PLOTS:
        assert f"]({path.stem}/{plot})" in inside
        assert (path.parent / path.stem / plot).read_bytes() == plot.encode()


@pytest.mark.parametrize("text", ["no marks", document.START, f"{document.END} {document.START}"])
def test_a_document_without_marks_is_refused(marked: Marked, text: str) -> None:
    with pytest.raises(SetupError, match="lacks the marks"):
        document.check(marked(text))
