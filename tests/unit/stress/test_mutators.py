"""Damage that is the same at every call, and of the kind that it says."""

from __future__ import annotations

import struct
import zlib
from random import Random

import pytest

from stress import seeds
from stress.cases import case
from stress.mutators import MUTATORS, Mutator, boxes, chunks, packets, png


@pytest.mark.parametrize("mutate", MUTATORS, ids=lambda mutate: mutate.__name__)
def test_the_same_number_gives_the_same_damage(mutate: Mutator) -> None:
    for name, data in list(seeds.videos().items())[::4]:
        results = [mutate(data, Random(number)) for number in range(12)]
        assert results == [mutate(data, Random(number)) for number in range(12)], name
        assert sum(result != data for result in results) >= 10, name


@pytest.mark.parametrize("mutate", MUTATORS, ids=lambda mutate: mutate.__name__)
def test_any_bytes_can_be_damaged(mutate: Mutator) -> None:
    for number in range(200):
        mutate(Random(number).randbytes(16 + number), Random(number))
    for start in (b"RIFF", b"FORM", b"G", b"\x89PNG\r\n\x1a\n", b"\0\0\0\x08moov"):
        mutate(start.ljust(188, b"\0"), Random(1))


def test_the_chunks_of_a_damaged_png_still_have_right_sums() -> None:
    data = seeds.videos()["image2/png"]
    for number in range(20):
        damaged, at = png(data, Random(number)), 8
        while at + 12 <= len(damaged):
            (size,) = struct.unpack_from(">I", damaged, at)
            body = damaged[at + 4 : at + 8 + size]
            assert struct.unpack_from(">I", damaged, at + 8 + size) == (zlib.crc32(body),)
            at += 12 + size


def test_a_damaged_transport_stream_is_whole_packets() -> None:
    data = seeds.videos()["mpegts/mpeg2video"]
    for number in range(20):
        damaged = packets(data, Random(number))
        assert len(damaged) % 188 == 0
        assert all(damaged[at] == ord("G") for at in range(0, len(damaged), 188))


def test_tables_of_an_mp4_are_damaged_and_its_pictures_are_not() -> None:
    data = seeds.videos()["mp4/libx264"]
    pictures = data[data.index(b"mdat") + 4 :][:2000]
    kept = sum(pictures in boxes(data, Random(number)) for number in range(40))
    assert kept >= 30


def test_sizes_of_riff_are_damaged_and_its_sound_is_not() -> None:
    data = seeds.speeches()["wav/pcm_s16le/16000"]
    assert all(chunks(data, Random(number)).endswith(data[-20_000:]) for number in range(20))


def test_a_number_tells_a_case() -> None:
    cases = [case(number) for number in range(300)]
    assert cases == [case(number) for number in range(300)]
    roles = [each.role for each in cases]
    assert 150 < roles.count("video") < 240
    assert 100 < sum(each.raw for each in cases) < 200
    assert len({each.name.split("-")[2] for each in cases}) > 25  # seeds
