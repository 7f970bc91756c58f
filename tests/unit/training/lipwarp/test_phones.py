from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lipserve.errors import SetupError
from lipserve_export.lipwarp.motion_network import LIPS_SHUT, SILENCE
from lipserve_training.data.store import Entry
from lipserve_training.lipwarp import phones
from lipserve_training.lipwarp.phones import PHONES, UNKNOWN

TABLE = (
    "speaker\tname\twords\ns1\tbbaf2n\tsil:0-2000 bin:2000-5000 blue:5000-6000 zzqq:6000-7000 sil:7000-9000\n"
)


def entry(source: str, speaker: str = "s1", frames: int = 9, first: int = 0, offset: int = 0) -> Entry:
    return Entry(
        clip="a", speaker=speaker, frames=frames, source=source, sha256="0" * 64, first_frame=first,
        offset=offset, sync=0,
    )  # fmt: skip


@pytest.fixture
def alignments(tmp_path: Path) -> phones.Alignments:
    (tmp_path / "a.tsv").write_text(TABLE)
    return phones.read(tmp_path / "a.tsv")


def test_the_phones_are_the_dictionary_s_and_silence_is_the_network_s() -> None:
    used = {phone.rstrip("012") for told in phones._dictionary().values() for one in told for phone in one}
    assert sorted(used) == list(PHONES)
    assert len(PHONES) == SILENCE
    assert [PHONES[number] for number in LIPS_SHUT] == ["B", "M", "P"]


def test_a_word_is_said_as_its_stressed_pronunciation() -> None:
    assert phones.pronounced("bin") == ("B", "IH", "N")
    assert phones.pronounced("PLACE") == ("P", "L", "EY", "S")
    assert phones.pronounced("a") == ("EY",)  # the letter
    assert phones.pronounced("zzqq") == ()


def test_gzipped_and_plain_tables_are_alike(tmp_path: Path, alignments: phones.Alignments) -> None:
    with gzip.open(tmp_path / "a.tsv.gz", "wt") as file:
        file.write(TABLE)
    assert phones.read(tmp_path / "a.tsv.gz") == alignments
    assert [word.text for word in alignments["s1", "bbaf2n"]] == ["sil", "bin", "blue", "zzqq", "sil"]


def names(rows: phones.Labels) -> list[str]:
    return ["?" if row == UNKNOWN else "-" if row == SILENCE else PHONES[row] for row in rows]


def test_phones_share_the_time_of_their_word(alignments: phones.Alignments) -> None:
    """Three frames for B, IH, N, and one for B, L, UW: what begins last in a row is said there."""
    told = "".join(names(phones.labels(entry("s1/bbaf2n.mpg"), alignments)))
    assert told == "----" + "BBIHIHNN" + "BUW" + "??" + "----"


@pytest.mark.parametrize(
    "source", ["LipNet__id2_bbaf2n.mpg", "s1_bbaf2n__StyleDubber_GT.mp4", "s1/bbaf2n.mpg"]
)
def test_the_recording_is_told_by_the_file_s_name_whoever_copied_it(
    source: str, alignments: phones.Alignments
) -> None:
    assert phones.words_of(entry(source), alignments) is not None


def test_a_clip_without_an_alignment_is_unknown(alignments: phones.Alignments) -> None:
    for other in (entry("s1/bbaf3s.mpg"), entry("s2/bbaf2n.mpg", "s2")):
        np.testing.assert_array_equal(phones.labels(other, alignments), [UNKNOWN] * 18)


def test_a_clip_that_begins_later_or_was_moved_is_told_from_there(alignments: phones.Alignments) -> None:
    whole = phones.labels(entry("bbaf2n.mpg"), alignments)
    late = phones.labels(entry("bbaf2n.mpg", first=3, frames=4), alignments)
    np.testing.assert_array_equal(late, whole[6:14])
    moved = phones.labels(entry("bbaf2n.mpg", first=0, frames=9, offset=2), alignments)
    np.testing.assert_array_equal(moved, [*[UNKNOWN] * 4, *whole[:14]])


@pytest.mark.parametrize("line", ["s1 bbaf2n bin:0-5", "s1\tbbaf2n\tbin", "s1\tbbaf2n\tbin:5", "s1\tbbaf2n"])
def test_a_line_that_is_no_alignment_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(f"speaker\tname\twords\n{line}\n")
    with pytest.raises(SetupError, match="line 2"):
        phones.read(tmp_path / "a.tsv")


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "absent.tsv"])
def test_a_file_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    if name != "absent.tsv":
        (tmp_path / name).write_bytes(b"\xff\xfe\x00 no table")
    with pytest.raises(SetupError, match="cannot be read"):
        phones.read(tmp_path / name)
