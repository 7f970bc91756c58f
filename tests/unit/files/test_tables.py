"""What a header declares is held to reason before FFmpeg believes it."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lipserve import audio
from lipserve.errors import LimitError
from lipserve.files import tables
from lipserve.media.probe import probe
from tests.unit.media.bombs import BOMBS, box, mp4, sound, track, words

Clip = Callable[..., bytes]


@pytest.mark.parametrize("name", BOMBS)
def test_a_few_kilobytes_that_declare_gigabytes_are_refused(name: str) -> None:
    assert len(BOMBS[name]) < 16_384
    for read in (probe, audio.load):
        with pytest.raises(LimitError, match="cannot be served"):
            read(BOMBS[name])


_GROWTH = """
import time
from lipserve.errors import LimitError
from lipserve.media.probe import probe
from tests.unit.media.bombs import BOMBS
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
for data in BOMBS.values():
    try:
        probe(data)
    except LimitError:
        pass
print(peak() - before, time.process_time())
"""


def test_refusing_costs_nothing() -> None:
    root = Path(__file__).resolve().parents[3]
    told = subprocess.run(
        [sys.executable, "-c", _GROWTH], capture_output=True, text=True, check=True, cwd=root
    ).stdout
    kilobytes, seconds = told.split()
    assert int(kilobytes) < 20_000
    assert float(seconds) < 2  # of a core, with all that Python loads


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "avi", "mpegts", "flv", "nut", "h264"])
def test_ordinary_files_declare_nothing_unreasonable(clip: Clip, container: str) -> None:
    assert tables.excess(io.BytesIO(clip(40, container=container))) is None


def test_hours_of_plain_sound_are_reasonable() -> None:
    samples = 4 * 3600 * 48_000  # each of which is a sample of its track
    hours = track(
        samples,
        handler=b"soun",
        stsd=words(1) + sound(),
        stts=words(1, samples, 1),
        stsc=words(1, 1, 48_000, 1),
        stco=words(4 * 3600, *range(48, 48 + 4 * 3600)),
    )
    assert tables.excess(io.BytesIO(mp4(hours))) is None
    assert tables.excess(io.BytesIO(mp4(track(1_000_000), track(1_700_000, 2)))) is None


def test_a_box_that_ends_beyond_its_file_or_within_itself_ends_the_look(clip: Clip) -> None:
    data = clip(10)
    at = data.index(b"moov") - 4
    for size in (0, 2, 7, 2**31):
        assert tables.excess(io.BytesIO(data[:at] + words(size) + data[at + 4 :])) is None
    assert tables.excess(io.BytesIO(data[: at + 60])) is None
    assert tables.excess(io.BytesIO(words(1) + data[4:8] + b"\xff" * 100)) is None
    assert tables.excess(io.BytesIO(b"")) is None


def test_a_flood_of_boxes_is_refused_before_its_end() -> None:
    for flood in (box(b"moov", b"trak" * 600_000), box(b"free") * 250_000):
        assert tables.excess(io.BytesIO(flood)) is not None
