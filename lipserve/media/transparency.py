"""Pictures with transparent parts, blended over a plain matte."""

from __future__ import annotations

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0)}


def matte(name: str) -> tuple[int, int, int]:
    """Return the R'G'B' (0..255) of white, black, or #RRGGBB."""
    return _NAMED[name] if name in _NAMED else (int(name[1:3], 16), int(name[3:5], 16), int(name[5:7], 16))


def opacity(frame: VideoFrame, width: int, height: int) -> NDArray[np.uint8] | None:
    """Return a frame's opacity uint8 [height, width], scaled to that size; None: opaque."""
    layout = frame.format
    if not layout.has_palette and not any(component.is_alpha for component in layout.components):
        return None
    alpha = VideoReformatter().reformat(frame, width, height, "rgba", threads=1).to_ndarray()[..., 3]
    return None if alpha.min() == 255 else np.asarray(alpha, np.uint8)


def over(
    picture: NDArray[np.uint8], alpha: NDArray[np.uint8], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Return a picture uint8 [H, W, 3] whose colours are not multiplied by `alpha` yet, over one colour."""
    share = alpha[..., None].astype(np.uint16)
    mixed = picture * share + np.array(colour, np.uint16) * (255 - share)
    return ((mixed + 127) // 255).astype(np.uint8)
