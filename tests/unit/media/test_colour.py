"""HDR to BT.709: the curves against their standards, the cube against the curves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest

from lipserve.media.colour import (
    CUBE_FORMAT,
    REFERENCE_WHITE,
    ToneMapper,
    nits_to_pq,
    pq_to_nits,
    read_tags,
    tone_map,
    wide_transfer,
)

GREY = np.ones(3)


@pytest.mark.parametrize(
    ("nits", "signal"), [(0.0, 0.0), (100, 0.508), (203, 0.581), (1000, 0.752), (10_000, 1.0)]
)
def test_pq_has_the_levels_of_the_standard(nits: float, signal: float) -> None:
    assert float(nits_to_pq(np.array(nits))) == pytest.approx(signal, abs=5e-4)
    assert float(pq_to_nits(nits_to_pq(np.array(nits)))) == pytest.approx(nits, rel=1e-6, abs=1e-9)


def test_a_grey_scale_stays_grey_rises_and_ends_at_white() -> None:
    levels = np.linspace(0, float(nits_to_pq(np.array(1000.0))), 64)[:, None] * GREY
    mapped = tone_map(levels, "pq")
    assert np.ptp(mapped, axis=1).max() < 1e-3
    assert (np.diff(mapped[:, 0]) > 0).all()
    assert mapped[0, 0] == pytest.approx(0, abs=1e-3)
    assert mapped[-1, 0] == pytest.approx(1, abs=1e-3)


def test_below_the_knee_light_is_kept() -> None:
    nits = 40.0
    mapped = tone_map(float(nits_to_pq(np.array(nits))) * GREY, "pq")
    assert mapped[0] == pytest.approx((nits / REFERENCE_WHITE) ** (1 / 2.4), abs=1e-3)


def test_diffuse_white_is_the_same_in_pq_and_hlg() -> None:
    white = tone_map(float(nits_to_pq(np.array(203.0))) * GREY, "pq")
    # BT.2408: HDR reference white is 75 % of an HLG signal, 58 % of a PQ one.
    assert tone_map(0.75 * GREY, "hlg") == pytest.approx(white, abs=2e-3)
    assert 0.85 < white[0] < 0.95


@pytest.mark.parametrize("transfer", ["pq", "hlg", "bt2020"])
def test_a_hue_outside_the_gamut_keeps_its_order_and_stays_in_range(transfer: str) -> None:
    for strongest in range(3):
        signal = np.full(3, 0.1)
        signal[strongest] = 0.7
        mapped = tone_map(signal, transfer)  # type: ignore[arg-type]
        assert mapped.min() >= 0
        assert mapped.max() <= 1
        assert int(mapped.argmax()) == strongest


@pytest.mark.parametrize("transfer", ["pq", "hlg", "bt2020"])
def test_the_cube_in_ffmpeg_gives_what_the_formula_gives(transfer: str) -> None:
    rng = np.random.default_rng(0)
    signal = rng.uniform(0.05, 0.7, (32, 48, 3))
    frame = av.VideoFrame(48, 32, CUBE_FORMAT)
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):  # the format's order is G, B, R
        rows = np.frombuffer(memoryview(plane), np.uint16).reshape(32, -1)
        rows[:, :48] = (signal[..., channel] * 65535).round()
    mapper = ToneMapper(48, 32, transfer)  # type: ignore[arg-type]
    for _ in range(2):  # the cube serves every frame
        planes = [
            np.frombuffer(memoryview(p), np.uint16).reshape(32, -1)[:, :48] for p in mapper(frame).planes
        ]
        mapped = np.stack([planes[2], planes[0], planes[1]], axis=-1) / 65535
        error = np.abs(mapped - tone_map(signal, transfer))  # type: ignore[arg-type]
        # The curve is steep at the edge of the gamut, where a component reaches 0.
        assert np.percentile(error, 98) < 0.01
        assert error.mean() < 1.5e-3


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ((16, 9, 9), "pq"),
        ((18, 9, 9), "hlg"),
        ((14, 9, 9), "bt2020"),
        ((2, 2, 9), "bt2020"),
        ((1, 1, 1), None),
        ((2, 2, 2), None),
        ((13, 12, 6), None),
    ],
)
def test_wide_transfers_are_found_by_their_tags(tags: tuple[int, int, int], expected: str | None) -> None:
    assert wide_transfer(*tags) == expected


@pytest.mark.parametrize(
    ("size", "matrix", "primaries"),
    [
        ((1920, 1080), "bt709", "bt709"),
        ((1280, 544), "bt709", "bt709"),
        ((576, 1024), "bt709", "bt709"),
        ((360, 288), "bt601", "bt470bg"),
        ((640, 480), "bt601", "smpte170m"),
    ],
)
def test_untagged_video_is_taken_as_players_take_it(
    size: tuple[int, int], matrix: str, primaries: str
) -> None:
    colour = read_tags(av.VideoFrame(*size, "yuv420p"), photograph=False)
    assert (colour.matrix, colour.primaries, colour.full_range) == (matrix, primaries, False)


def test_tags_are_kept() -> None:
    frame = av.VideoFrame(640, 480, "yuv420p")
    frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = 1, 2, 12, 13
    colour = read_tags(frame, photograph=False)
    assert (colour.matrix, colour.full_range) == ("bt709", True)
    assert (colour.primaries, colour.transfer) == ("smpte432", "iec61966-2-1")


def test_an_hdr_clip_looks_like_its_sdr_sibling(shared_data: Callable[[str], object]) -> None:
    from lipserve.media.decode import read
    from lipserve.media.probe import probe

    means = []
    for name in ("edge/hdr10_pq_demo1.mp4", "video/LatentSync__demo1_video.mp4"):
        path = shared_data(name)
        info = probe(path)  # type: ignore[arg-type]
        assert info.fps == Fraction(25)
        picture = next(read(path, info, 10, 1))  # type: ignore[arg-type]
        means.append([picture.y.mean(), picture.u.mean(), picture.v.mean()])
        assert picture.colour.matrix == "bt709"
        assert not picture.colour.full_range
    assert np.abs(np.subtract(*means)).max() < 2.5  # levels of 255
