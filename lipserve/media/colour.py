"""What a source's colour tags mean, and HDR to BT.709 by a colour cube.

The display light of an HDR picture (BT.2100) is compressed to the reference white of 203 nits (BT.2408)
with the curve of BT.2390, moved to the primaries of BT.709, and encoded for a BT.1886 display. All of that
is a function of one colour, so it is computed once on a cube and FFmpeg's `haldclut` interpolates it.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Literal

import numpy as np
from av import VideoFrame
from av.filter import Graph
from numpy.typing import NDArray

from lipserve.files.picture import Colour, PrimariesTag, TransferTag

Transfer = Literal["pq", "hlg", "bt2020"]
Light = NDArray[np.float64]

REFERENCE_WHITE = 203.0  # nits, ITU-R BT.2408: HDR diffuse white, and what SDR white is taken for
PEAK = 1000.0  # nits, the display that nearly all HDR10 and HLG material is mastered for
CUBE_LEVEL = 8  # a Hald image of level 8 holds a cube of 64 x 64 x 64 colours in 512 x 512 pixels
CUBE_FORMAT = "gbrp16le"

# Luminance and primaries of ITU-R BT.2020, and the linear map to BT.709's (ITU-R BT.2087).
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
_LUMA_709 = np.array([0.2126, 0.7152, 0.0722])
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_TO_709 /= _TO_709.sum(axis=1, keepdims=True)  # four digits leave a tint in white

# SMPTE ST 2084.
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32

# FFmpeg's names by the numbers of ITU-T H.273; 2 is unspecified.
_PRIMARIES: dict[int, PrimariesTag] = {
    1: "bt709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    8: "film",
    9: "bt2020",
    11: "smpte431",
    12: "smpte432",
    22: "ebu3213",
}
_TRANSFERS: dict[int, TransferTag] = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    7: "smpte240m",
    8: "linear",
    11: "iec61966-2-4",
    13: "iec61966-2-1",
    14: "bt2020-10",
    15: "bt2020-12",
}
_MATRICES: dict[int, Literal["bt601", "bt709"]] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709"}
_BT2020_MATRICES, _BT2020_PRIMARIES, _PQ, _HLG = (9, 10), 9, 16, 18


def wide_transfer(transfer: int, primaries: int, matrix: int) -> Transfer | None:
    """Return what must be mapped to BT.709, from the numbers of ITU-T H.273; None: nothing."""
    if transfer == _PQ:
        return "pq"
    if transfer == _HLG:
        return "hlg"
    return "bt2020" if primaries == _BT2020_PRIMARIES or matrix in _BT2020_MATRICES else None


def read_tags(frame: VideoFrame, photograph: bool) -> Colour:
    """Return the meaning of a frame's 4:2:0 samples; what is not tagged is guessed as players do.

    Untagged video is BT.709 above 576 lines or from 1280 pixels across, else BT.601.

    Args:
        photograph: the codec is one of still images, whose untagged primaries are sRGB's.
    """
    if frame.format.is_rgb or frame.format.has_palette:
        return Colour()
    high_definition = frame.width >= 1280 or frame.height > 576
    matrix = _MATRICES.get(frame.colorspace, "bt709" if high_definition else "bt601")
    primaries: PrimariesTag = "bt709"
    transfer: TransferTag = "bt709"
    if not photograph and matrix == "bt601":
        primaries = "bt470bg" if frame.height in (288, 576) else "smpte170m"
        transfer = "smpte170m"
    return Colour(
        matrix=matrix,
        full_range=_is_full_range(frame, photograph),
        primaries=_PRIMARIES.get(frame.color_primaries, primaries),
        transfer=_TRANSFERS.get(frame.color_trc, transfer),
    )


def _is_full_range(frame: VideoFrame, photograph: bool) -> bool:
    if frame.format.name.startswith("yuvj"):
        return True
    if frame.format.name.startswith("gray") and frame.color_range == 0:
        return photograph
    return int(frame.color_range) == 2


def tone_map(signal: Light, transfer: Transfer) -> Light:
    """Return the BT.709 signal [..., 3] in 0..1 of a BT.2020 R'G'B' signal [..., 3] in 0..1."""
    light = signal**2.4 if transfer == "bt2020" else _compress(_display_light(signal, transfer))
    linear = _into_gamut(light @ _TO_709.T)
    return np.asarray(linear ** (1 / 2.4))  # the inverse of ITU-R BT.1886


def _display_light(signal: Light, transfer: Literal["pq", "hlg"]) -> Light:
    """Return nits of an ideal display."""
    if transfer == "pq":
        return pq_to_nits(signal)
    # ITU-R BT.2100, HLG: inverse OETF, then the OOTF of a display of 1000 nits (gamma 1.2).
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ _LUMA_2020
    return np.asarray(PEAK * scene * luminance[..., None] ** 0.2)


def _compress(nits: Light) -> Light:
    """Return linear light, 1.0 at SDR white: the EETF of ITU-R BT.2390 on the largest component.

    One gain for the three components keeps the hue of a bright skin, where a curve for each would not.
    """
    largest = np.maximum(nits.max(axis=-1, keepdims=True), 1e-6)
    peak = nits_to_pq(np.array(PEAK))
    limit = float(nits_to_pq(np.array(REFERENCE_WHITE)) / peak)
    knee = 1.5 * limit - 0.5
    level = np.clip(nits_to_pq(largest) / peak, 0, 1)
    t = np.clip((level - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * limit
    )
    mapped = pq_to_nits(np.where(level < knee, level, spline) * peak)
    return np.asarray(nits * (mapped / largest) / REFERENCE_WHITE)


def _into_gamut(linear: Light) -> Light:
    """Mix colours that BT.709 cannot show with the grey of their luminance until it can."""
    luminance = np.clip(linear @ _LUMA_709, 0, 1)[..., None]
    low = linear.min(axis=-1, keepdims=True)
    high = linear.max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(low < 0, luminance / (luminance - low), 1.0)
        ceiling = np.where(high > 1, (1 - luminance) / (high - luminance), 1.0)
    share = np.nan_to_num(np.clip(np.minimum(floor, ceiling), 0, 1))
    return np.asarray(np.clip(luminance + share * (linear - luminance), 0, 1))


def pq_to_nits(signal: Light) -> Light:
    """Return display light in nits of a SMPTE ST 2084 signal in 0..1."""
    power = np.maximum(signal, 0) ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def nits_to_pq(nits: Light) -> Light:
    """Return the SMPTE ST 2084 signal in 0..1 of display light in nits."""
    power = (np.maximum(nits, 0) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


@cache
def _cube(transfer: Transfer) -> NDArray[np.uint16]:
    """Return the Hald image uint16 [512, 512, 3] RGB of 16 bits: red changes fastest, blue slowest."""
    axis = np.linspace(0, 1, CUBE_LEVEL**2)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    mapped = tone_map(np.stack([red, green, blue], axis=-1), transfer)
    side = CUBE_LEVEL**3
    return np.asarray((mapped * 65535).round(), np.uint16).reshape(side, side, 3)


class ToneMapper:
    """Maps BT.2020 R'G'B' frames of the format `CUBE_FORMAT` to BT.709 ones of the same format."""

    def __init__(self, width: int, height: int, transfer: Transfer) -> None:
        self._graph = Graph()
        self._graph.threads = 1
        cube = _planar(_cube(transfer))
        tick = Fraction(1, 25)  # time means nothing here, but the filter wants frames in order
        self._input = self._graph.add_buffer(width=width, height=height, format=cube.format, time_base=tick)
        table = self._graph.add_buffer(
            width=cube.width, height=cube.height, format=cube.format, time_base=tick
        )
        clut = self._graph.add("haldclut", "interp=tetrahedral")
        self._output = self._graph.add("buffersink")
        self._input.link_to(clut, 0, 0)
        table.link_to(clut, 0, 1)
        clut.link_to(self._output)
        self._graph.configure()
        table.push(cube)
        table.push(None)
        self._count = 0

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        frame.pts = self._count
        frame.time_base = Fraction(1, 25)
        self._count += 1
        self._input.push(frame)
        mapped = self._output.pull()
        assert isinstance(mapped, VideoFrame)
        return mapped


def _planar(image: NDArray[np.uint16]) -> VideoFrame:
    """Return the cube as a frame; FFmpeg 8 reads its planes as R, G, B, though the format has G, B, R."""
    frame = VideoFrame(image.shape[1], image.shape[0], CUBE_FORMAT)
    for channel, plane in enumerate(frame.planes):
        rows = np.frombuffer(memoryview(plane), np.uint16).reshape(image.shape[0], -1)
        rows[:, : image.shape[1]] = image[..., channel]
    frame.pts = 0
    return frame
