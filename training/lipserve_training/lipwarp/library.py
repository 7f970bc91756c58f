"""Source of footage: a dataset of `prepare`, or one file of `pack`."""

from __future__ import annotations

from pathlib import Path

from lipserve_training.data import store
from lipserve_training.lipwarp import footage, pack
from lipserve_training.lipwarp.footage import Footage


def entries(data: Path) -> list[store.Entry]:
    """Return the clips of the source, or raise SetupError."""
    return pack.entries(data) if data.is_file() else store.read_index(data)


def read(data: Path, entry: store.Entry, pictures: bool = True) -> Footage:
    """Return a clip, or raise SetupError."""
    return (pack.read if data.is_file() else footage.read)(data, entry, pictures)
