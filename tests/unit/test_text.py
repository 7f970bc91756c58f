from __future__ import annotations

import sys

import pytest

from lipserve.errors import InputError, from_wire
from lipserve.text import counted, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ein Gesicht, 顔, وجه 🙂", "Ein Gesicht, 顔, وجه 🙂"),
        ("\x1b]0;title\x07\x1b[31mred\x1b[0m", "]0;title[31mred[0m"),
        ("\x9b31m\x90\x9c\x85", "31m"),
        ("over\rwritten\b\x7f", "overwritten"),
        ("mp4.\u202eexe\u2066", "mp4.exe"),
        ("one\ntwo\tthree\u2028four", "one\ntwo\tthreefour"),
        ("\udcff.mp4", ".mp4"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_control_sequences_of_a_terminal_are_left_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_no_code_point_below_space_or_of_the_second_control_set_remains() -> None:
    shown = printable("".join(map(chr, range(sys.maxunicode + 1))))
    assert not {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))} & set(shown)
    shown.encode()  # nothing that no encoding can write


def test_every_error_can_be_printed() -> None:
    error = InputError("\x1b[2J'evil\x07.mp4' is a directory.", "Name \x9banother.")
    assert str(error) == "[2J'evil.mp4' is a directory. Name another."
    far = from_wire("[lipserve:no_face] \x1b]0;x\x07 none")
    assert far is not None
    assert str(far) == "]0;x none"


def test_things_are_counted_in_words() -> None:
    assert [counted(count, "frame") for count in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
