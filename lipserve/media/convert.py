"""Conversion of decoded frames of any format to upright 8-bit 4:2:0 pictures."""

from __future__ import annotations

import cv2
import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from lipserve.files.picture import Picture, Plane, VideoInfo
from lipserve.media.colour import CUBE_FORMAT, ToneMapper
from lipserve.media.transparency import matte, opacity, over

_PLAIN = ("yuv420p", "yuvj420p")
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_MATRICES = {"bt601": Colorspace.ITU601, "bt709": Colorspace.ITU709}
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND


class Converter:
    """Turns the frames of one video into pictures, all decisions taken from `info`.

    8-bit 4:2:0 frames pass bit-exact: their planes are views of the decoder's memory.
    """

    def __init__(self, info: VideoInfo) -> None:
        self._info = info
        turned = info.rotation in (90, 270)
        self._width, self._height = (info.height, info.width) if turned else (info.width, info.height)
        self._scaler = VideoReformatter()
        self._unscaler = VideoReformatter()
        self._matte = matte(info.matte)
        self._mapper: ToneMapper | None = None
        # swscale takes every grey for full range, whatever its tag.
        self._no_chroma = np.full((-(-self._height // 2), -(-self._width // 2)), 128, np.uint8)

    def __call__(self, frame: VideoFrame) -> Picture:
        alpha = opacity(frame, self._width, self._height)
        if self._info.hdr is not None:
            frame = self._standard_range(frame)
        if alpha is not None:
            frame = self._opaque(frame, alpha)
        fits = (frame.width, frame.height) == (self._width, self._height)
        if fits and frame.format.name == "gray":
            return self._turned(_view(frame.planes[0]), self._no_chroma, self._no_chroma)
        if not fits or frame.format.name not in _PLAIN:
            frame = self._reformat(frame)
        return self._turned(*(_view(plane) for plane in frame.planes))

    def _turned(self, y: Plane, u: Plane, v: Plane) -> Picture:
        if self._info.mirrored:
            y, u, v = (np.asarray(cv2.flip(plane, 1), np.uint8) for plane in (y, u, v))
        turn = _TURNS.get(self._info.rotation)
        if turn is not None:
            y, u, v = (np.asarray(cv2.rotate(plane, turn), np.uint8) for plane in (y, u, v))
        return Picture(y, u, v, self._info.colour)

    def _reformat(self, frame: VideoFrame) -> VideoFrame:
        colour = self._info.colour
        out = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
        rgb = frame.format.is_rgb or frame.format.has_palette
        return self._scaler.reformat(
            frame,
            self._width,
            self._height,
            "yuv420p",
            src_colorspace=None if rgb else _MATRICES[colour.matrix],
            dst_colorspace=_MATRICES[colour.matrix],
            src_color_range=ColorRange.JPEG if rgb else out,
            dst_color_range=out,
            interpolation=_SCALING,
            threads=1,
        )

    def _opaque(self, frame: VideoFrame, alpha: NDArray[np.uint8]) -> VideoFrame:
        """Return the frame's colours over the matte, as RGB."""
        range_ = ColorRange.JPEG if self._info.colour.full_range else ColorRange.MPEG
        rgb = frame.format.is_rgb or frame.format.has_palette
        colours = self._unscaler.reformat(
            frame,
            self._width,
            self._height,
            "rgb24",
            src_colorspace=None if rgb else _MATRICES[self._info.colour.matrix],
            src_color_range=ColorRange.JPEG if rgb else range_,
            dst_color_range=ColorRange.JPEG,
            interpolation=_SCALING,
            threads=1,
        )
        return VideoFrame.from_ndarray(
            over(np.asarray(colours.to_ndarray(), np.uint8), alpha, self._matte), "rgb24"
        )

    def _standard_range(self, frame: VideoFrame) -> VideoFrame:
        assert self._info.hdr is not None
        if self._mapper is None:
            self._mapper = ToneMapper(self._width, self._height, self._info.hdr)
        wide = self._scaler.reformat(
            frame,
            self._width,
            self._height,
            CUBE_FORMAT,
            src_colorspace=Colorspace.BT2020,
            src_color_range=ColorRange.JPEG if frame.color_range == ColorRange.JPEG else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )
        return self._unscaler.reformat(
            self._mapper(wide),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BILINEAR,
            threads=1,
        )


def _view(plane: VideoPlane) -> Plane:
    """Return a plane's samples uint8 [H, W] without copying; read-only."""
    stride = abs(plane.line_size)
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, stride)
    view = (rows if plane.line_size > 0 else rows[::-1])[:, : plane.width]
    view.flags.writeable = False
    return view
