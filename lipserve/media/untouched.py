"""Encoding of what nobody drives, and of pictures in which several people were driven apart."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import combinations
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import CueError
from lipserve.files.picture import MediaSource, Picture, Plane, VideoInfo
from lipserve.media import decode, encode, probe
from lipserve.media.mark import Mark

_SHARED = 0.05  # of the smaller of two driven areas: more in common is one face, driven twice


def encoded(
    video: MediaSource,
    info: VideoInfo,
    shown: NDArray[np.int64],
    layers: Mapping[int, bytes] = MappingProxyType({}),
    *,
    crf: int,
    preset: str,
    parameter_set: int,
    mark: Mark | None = None,
) -> bytes:
    """Return a segment of the source's own pictures, with what was driven in any of the layers.

    Args:
        shown: int64 [F], the source frame of each picture.
        layers: by the number of the cue, lossless segments of the same pictures, in each of which another cue
            drove its faces.
        crf, preset, parameter_set: as for `VideoWriter`.
        mark: what every picture shows in a corner.

    Raises:
        CueError: two layers drive the same face.
    """
    file = io.BytesIO()
    with _writer(file, info, crf, preset, parameter_set) as writer:
        pictures = decode.read_order(video, info, shown, threads=1)
        above = [decode.read(layer, probe.probe(layer), threads=1) for layer in layers.values()]
        for picture, *driven in zip(pictures, *above, strict=False):
            made = _together(picture, dict(zip(layers, driven, strict=True))) if driven else picture
            writer.write(made, mark.draw if mark else None)
    return file.getvalue()


def blank(info: VideoInfo, *, crf: int, preset: str, parameter_set: int) -> bytes:
    """Return a segment of one grey picture: it tells what segments of these settings are like."""
    file = io.BytesIO()
    half = (info.height + 1) // 2, (info.width + 1) // 2
    grey = Picture(
        np.full((info.height, info.width), 128, np.uint8),
        np.full(half, 128, np.uint8),
        np.full(half, 128, np.uint8),
        info.colour,
    )
    with _writer(file, info, crf, preset, parameter_set) as writer:
        writer.write(grey)
    return file.getvalue()


def _writer(
    file: io.BytesIO, info: VideoInfo, crf: int, preset: str, parameter_set: int
) -> encode.VideoWriter:
    return encode.VideoWriter(
        file,
        info.width,
        info.height,
        info.fps,
        info.colour,
        info.pixel_aspect,
        crf=crf,
        preset=preset,
        threads=1,
        parameter_set=parameter_set,
    )


def _together(source: Picture, layers: Mapping[int, Picture]) -> Picture:
    planes = [
        _sum(plane, {cue: _cropped(getattr(layer, name), plane) for cue, layer in layers.items()})
        for name, plane in (("y", source.y), ("u", source.u), ("v", source.v))
    ]
    return Picture(planes[0], planes[1], planes[2], source.colour)


def _cropped(plane: Plane, like: Plane) -> Plane:
    return plane[: like.shape[0], : like.shape[1]]


def _sum(source: Plane, layers: Mapping[int, Plane]) -> Plane:
    """Return the plane with all changes; where two layers change the same samples, they are one face's."""
    changed = {cue: layer != source for cue, layer in layers.items()}
    out = source.copy()
    for cue, mask in changed.items():
        out[mask] = layers[cue][mask]
    for (one, first), (other, second) in combinations(changed.items(), 2):
        smaller = min(int(first.sum()), int(second.sum()))
        if smaller and int((first & second).sum()) > _SHARED * smaller:
            raise CueError(
                f"Cues {one} and {other} drive the same face at the same time.",
                "Let one end before the other starts, or name another face.",
            )
    return out
