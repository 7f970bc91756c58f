"""The commands that have commands of their own, as the tests call them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from sys import executable

from lipserve_cli.main import main

LIPSERVE = Path(executable).parent / "lipserve"


def export(words: Sequence[str]) -> int:
    """Run `lipserve export`, and return its exit code."""
    return main(["export", *words])


def train(words: Sequence[str]) -> int:
    """Run `lipserve train`, and return its exit code."""
    return main(["train", *words])


def ops(words: Sequence[str]) -> int:
    """Run `lipserve ops`, and return its exit code."""
    return main(["ops", *words])
