"""Split of the speakers: those of the training, and those held out."""

from __future__ import annotations

from collections.abc import Sequence

from lipserve.errors import SetupError
from lipserve_training.data.store import Entry
from lipserve_training.train.recipe import Data


def training_entries(data: Data, entries: Sequence[Entry]) -> list[Entry]:
    """Return the clips that a recipe's data trains on: neither of a held-out speaker nor to stay unheard.

    Raises:
        SetupError: none is left.
    """
    left = [e for e in entries if e.speaker not in data.hold_out and e.source not in data.unheard]
    if not left:
        raise SetupError(
            f"The recipe holds out all {len(entries)} clips.",
            "Hold out fewer speakers, or prepare more data.",
        )
    return left


def held_out_entries(data: Data, entries: Sequence[Entry]) -> list[Entry]:
    """Return the clips of the speakers that are never trained on."""
    return [entry for entry in entries if entry.speaker in data.hold_out]


def absent(data: Data, entries: Sequence[Entry]) -> list[str]:
    """Return the speakers and sources that a recipe keeps from training and no clip has."""
    known = {entry.speaker for entry in entries} | {entry.source for entry in entries}
    return [name for name in (*data.hold_out, *data.unheard) if name not in known]
