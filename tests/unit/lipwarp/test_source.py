"""SOURCE: what it holds comes back, and no bytes of a stranger are believed."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve import align
from lipserve.errors import SourceError
from lipserve.files.picture import Colour
from lipserve.lipwarp import source as files
from lipserve.lipwarp.source import MAGIC, MAX_HEADER, MAX_PATCH, Source, from_bytes, remember
from tests.support.pictures import textured
from tests.support.videos import FULL_HD
from tests.unit.lipwarp.people import closed, crop_transform, memory, person, points_in_crop

MADE = Source(
    "ab" * 32, 1920, 1080, 3000, "largest", Colour("bt601"), (person(), person((0.1,), (0.3,), (0.9,)))
)
DATA = MADE.to_bytes()
START = len(MAGIC) + 4


def header(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return what the JSON says, and the bytes after it."""
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    return json.loads(data[START : START + length]), data[START + length :]


def file(told: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(told).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + rest


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the file whose header was changed in place."""
    told, rest = header(DATA)
    change(told)
    return file(told, rest)


def claimed(width: int, height: int, png: bytes) -> bytes:
    """Return a PNG whose header claims another size, with the checksum that it then needs."""
    ihdr = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + png[33:]


def refused(data: bytes) -> str:
    with pytest.raises(SourceError) as caught:
        from_bytes(data)
    assert caught.value.remedy == "Prepare the video again: lipserve prepare VIDEO -o FILE."
    return caught.value.message


def test_everything_comes_back_and_the_planes_to_the_bit() -> None:
    got = from_bytes(DATA)
    assert replace(got, people=()) == replace(MADE, people=())
    assert [len(who.memories) for who in got.people] == [2, 3]
    for mine, theirs in zip(MADE.people, got.people, strict=True):
        np.testing.assert_allclose(theirs.places, mine.places, atol=0.005)
        np.testing.assert_allclose(theirs.closed, mine.closed, atol=1e-5)
        np.testing.assert_allclose(theirs.shapes, mine.shapes, atol=1e-5)
        assert theirs.reach == mine.reach
        for kept, read in zip(mine.memories, theirs.memories, strict=True):
            for before, after in zip(kept.patch.planes, read.patch.planes, strict=True):
                np.testing.assert_array_equal(after, before)
            np.testing.assert_array_equal(read.patch.transform, kept.patch.transform)
            np.testing.assert_allclose(read.points, kept.points, atol=1e-3)
    assert got.to_bytes() == DATA


def test_a_video_without_people_is_a_source() -> None:
    none = replace(MADE, people=())
    assert from_bytes(none.to_bytes()) == none


def test_a_file_that_is_cut_short_is_refused() -> None:
    short = replace(MADE, people=(person((0.2,), picture=textured(200, 200)),)).to_bytes()
    places = {*range(400), *range(400, len(short), 97), len(short) - 1}
    for length in sorted(places):
        refused(short[:length])
    assert from_bytes(short).people


@given(st.one_of(st.integers(0, 30_000), st.integers(0, len(DATA) - 1)), st.integers(1, 255))
def test_a_byte_that_is_wrong_never_does_more_than_refuse(at: int, by: int) -> None:
    try:
        got = from_bytes(DATA[:at] + bytes([DATA[at] ^ by]) + DATA[at + 1 :])
    except SourceError:
        return
    for who in got.people:
        assert all(np.isfinite(kept.points).all() for kept in who.memories)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    for start in (b"", MAGIC, MAGIC + struct.pack("<I", len(data))):
        refused(start + data)


def test_another_version_is_named() -> None:
    assert "another version" in refused(b"LIPSRC02" + DATA[8:])
    assert "not a SOURCE" in refused(b"RIFFxxxx" + DATA[8:])
    assert "damaged" in refused(changed(lambda told: told.update(version=2)))


def test_too_much_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", len(DATA) - 1)
    assert f"{len(DATA)} bytes; at most {len(DATA) - 1}" in refused(DATA)


def test_a_long_header_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed, a JSON text of 48 MiB would take gigabytes."""
    many = [[0.0, 1.0, 2.0, 3.0]] * 512
    full = replace(
        MADE, people=(replace(MADE.people[0], places=np.array(many) + 12345.67),) * files.MAX_PEOPLE
    )
    assert from_bytes(full.to_bytes()).people
    text = b'{"x":"' + b"1" * MAX_HEADER + b'"}'
    monkeypatch.setattr(files, "_Header", None)
    refused(MAGIC + struct.pack("<I", len(text)) + text)


@pytest.mark.parametrize("size", [(30_000, 30_000), (400, 3), (1, 1)])
def test_a_picture_of_another_size_is_refused_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, rest = header(DATA)
    plane = told["people"][0]["memories"][0]["planes"][0]
    png = claimed(*size, rest[: plane["size"]])
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    refused(file(told, png + rest[plane["size"] :]))


def test_a_picture_larger_than_any_patch_is_refused_whatever_it_says() -> None:
    told, rest = header(DATA)
    plane = told["people"][0]["memories"][0]["planes"][0]
    large = cv2.imencode(".png", np.zeros((MAX_PATCH + 2, 64), np.uint8))[1].tobytes()
    rest = large + rest[plane["size"] :]
    plane.update(width=64, height=MAX_PATCH + 2, size=len(large))
    refused(file(told, rest))


@pytest.mark.parametrize("png", [b"", b"no picture, but long enough for a header", DATA[-300:]])
def test_a_memory_that_is_no_picture_is_refused(png: bytes) -> None:
    told, rest = header(DATA)
    plane = told["people"][0]["memories"][0]["planes"][0]
    before, plane["size"] = plane["size"], max(1, len(png))
    refused(file(told, png + rest[before:]))


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["people"][0].update(reach=0),
        lambda told: told["people"][0].update(reach=float("nan")),
        lambda told: told["people"][0].update(memories=[]),
        lambda told: told["people"][0].update(places=[]),
        lambda told: told["people"][0]["closed"].pop(),
        lambda told: told["people"][0]["closed"].__setitem__(3, float("inf")),
        lambda told: told["people"][0]["memories"][0]["points"].append(1.0),
        lambda told: told["people"][0]["memories"][0]["points"].__setitem__(0, 1e300),
        lambda told: told["people"][0]["memories"][0].update(transform=[0.0] * 6),
        lambda told: told["people"][0]["memories"][0].update(transform=[1, 1, 0, 1, 1, 0]),
        lambda told: told["people"][0]["memories"][0]["planes"].reverse(),
        lambda told: told.update(people=told["people"] * 5),
        lambda told: told.update(sha256="AB"),
        lambda told: told.update(sha256="g" * 64),
        lambda told: told.update(frames=0),
        lambda told: told.update(width=10**9),
        lambda told: told.update(colour={"matrix": "bt2020"}),
        lambda told: told.update(more="than is known"),
        lambda told: told.pop("face"),
    ],
)
def test_a_header_out_of_bounds_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    assert "damaged" in refused(changed(change))


def test_planes_that_do_not_belong_together_are_refused() -> None:
    """Chroma of half the size of the luma, rounded up, and of no other."""
    kept = memory(textured(200, 200), (0.2,), crop_transform(120.0, 0.0, (40.0, 30.0)))
    y, u, v = kept.patch.planes
    for planes in ((y, u[:-1], v[:-1]), (y, u, v[:, :-1]), (y[:-1, :-1], u, v), (y[:-2], u, v)):
        wrong = replace(kept, patch=replace(kept.patch, planes=planes))
        data = replace(MADE, people=(replace(MADE.people[0], memories=(wrong,)),)).to_bytes()
        if planes[0].shape[0] % 2 and planes[0].shape[1] % 2:
            assert from_bytes(data).people  # an odd picture has chroma for its last row and column
        else:
            refused(data)


def test_a_remembered_mouth_is_the_pictures_own_samples() -> None:
    picture, transform = textured(640, 480), crop_transform(251.0, 0.3, (200.0, 90.0))
    kept = remember(picture, transform, points_in_crop(), np.zeros(8))
    y, u, v = kept.patch.planes
    back = align.invert(kept.patch.transform[None])[0]
    corner = align.invert(transform[None])[0][:, 2] - back[:, 2]
    left, top = np.round(corner).astype(int)
    assert np.abs(corner - [left, top]).max() < 1e-3
    assert left % 2 == top % 2 == 0, "chroma keeps its place"
    np.testing.assert_array_equal(y, picture.y[top : top + y.shape[0], left : left + y.shape[1]])
    for mine, whole in ((u, picture.u), (v, picture.v)):
        np.testing.assert_array_equal(
            mine, whole[top // 2 : top // 2 + mine.shape[0], left // 2 : left // 2 + mine.shape[1]]
        )
    got, cut = kept.crop(picture.colour).astype(int), align.crop(picture, transform, 96).astype(int)
    assert np.abs(got - cut).max() <= 1


def test_a_mouth_of_a_large_face_is_kept_smaller_and_in_its_place() -> None:
    """A face of 3000 pixels: a patch of at most 768, whose crop is the same but for its sharpness."""
    picture = textured(3840, 2160)
    transform = crop_transform(3000.0, 0.0, (400.0, -700.0))
    kept = remember(picture, transform, points_in_crop(), np.zeros(8))
    assert max(kept.patch.planes[0].shape) == MAX_PATCH
    assert max(kept.patch.planes[1].shape) == MAX_PATCH // 2
    got, cut = kept.crop(picture.colour).astype(int), align.crop(picture, transform, 96).astype(int)
    assert np.abs(got - cut).mean() < 4
    shifted = np.abs(got[:, 1:] - cut[:, :-1]).mean()
    assert shifted > 2 * np.abs(got - cut).mean(), "it lies where it lay"
    assert len(replace(MADE, people=(replace(MADE.people[0], memories=(kept,) * 8),)).to_bytes()) < 8 << 20


@pytest.mark.parametrize("corner", [(-200.0, -150.0), (630.0, 470.0), (-9000.0, 0.0), (641.0, 479.0)])
def test_a_mouth_at_the_edge_of_the_picture_is_what_can_be_seen_of_it(corner: tuple[float, float]) -> None:
    picture, transform = textured(641, 479), crop_transform(300.0, 0.1, corner)
    kept = remember(picture, transform, points_in_crop(), np.zeros(8))
    y, u, v = kept.patch.planes
    assert min(y.shape) >= 1
    assert u.shape == v.shape == (-(-y.shape[0] // 2), -(-y.shape[1] // 2))
    assert from_bytes(replace(MADE, people=(replace(MADE.people[0], memories=(kept,)),)).to_bytes()).people


def test_another_video_or_other_faces_are_refused_by_name() -> None:
    MADE.check(FULL_HD, "largest")
    with pytest.raises(SourceError, match="1920x1080 with 3000 frames; this one is 1920x1080 with 2999"):
        MADE.check(replace(FULL_HD, frames=2999), "largest")
    with pytest.raises(SourceError, match="this one is 1280x1080"):
        MADE.check(replace(FULL_HD, width=1280), "largest")
    with pytest.raises(SourceError, match="face=largest, not all"):
        MADE.check(FULL_HD, "all")


def test_a_person_is_sought_where_they_were_seen_last() -> None:
    who = replace(person(), places=np.array([[0, 100, 50, 40], [10, 200, 60, 44], [90, 300, 70, 48.0]]))
    assert who.near(0) == who.near(4) == (100, 50, 40)
    assert who.near(40) == (200, 60, 44)
    assert who.near(10_000) == (300, 70, 48)
    assert who.closed.shape == closed().shape
