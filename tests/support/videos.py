"""What `probe` tells of a plain video: tests replace what they are about."""

from __future__ import annotations

from fractions import Fraction

from lipserve.files.picture import Colour, VideoInfo

FULL_HD = VideoInfo(
    width=1920,
    height=1080,
    pixel_aspect=Fraction(1),
    fps=Fraction(25),
    start=Fraction(0),
    frames=3000,
    variable=False,
    still=False,
    rotation=0,
    hdr=None,
    colour=Colour(),
    codec="h264",
    pixel_format="yuv420p",
    has_audio=False,
)
