"""LSE-D, LSE-C and the offset, by the protocol of syncnet_python and of Wav2Lip's evaluation.

One thing differs: the face's box is the mesh's, where syncnet_python's comes from the S3FD detector. Size,
place and padding of the crop around it, its smoothing over time and all that follows are those of
`run_pipeline.py` and `SyncNetInstance.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipserve import faces
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import Picture
from lipserve.media.yuv import resized
from lipserve.quality import lips
from lipserve.quality.lips import FPS
from lipserve_training.evaluate.clips import Clip
from lipserve_training.mfcc import STEPS_PER_SECOND, mfcc
from lipserve_training.models import syncnet
from lipserve_training.models.syncnet import SyncNet

REACH = 15  # frames, of the search on both sides
_BATCH = 20
_MARGIN, _GREY = 0.4, 110
_SMOOTHING = 13  # frames


class Score(NamedTuple):
    """Least mean distance over the shifts; median less least; frames by which the lips come late."""

    lse_d: float
    lse_c: float
    offset: int


def score(network: SyncNet, crops: Iterable[NDArray[np.uint8]], samples: Samples) -> Score:
    """Return how well a face and a speech fit.

    Args:
        crops: uint8 [224, 224, 3] BGR at 25 fps.
        samples: float32 [n] in -1..1, 16 kHz.
    """
    frames = np.stack(list(crops))
    count = min(len(frames), len(samples) // (SAMPLE_RATE // FPS)) - syncnet.FRAMES
    if count < 1:
        raise ValueError(f"{len(frames)} frames and {len(samples)} samples: SyncNet needs more than 5 frames")
    with torch.inference_mode():
        seen = torch.cat([network.look(part) for part in _windows(frames, count)])
        heard = network.hear(_steps(samples, count))
        table = syncnet.distances(heard, seen, REACH)
    return verdict(table)


def verdict(distances: Tensor) -> Score:
    """Return the score of a table [31, T] of distances, a row for each shift."""
    means = distances.mean(1)
    least, at = means.min(0)
    return Score(float(least), float(means.median() - least), REACH - int(at))


def face_crops(
    clip: Clip, pictures: Iterable[Picture], order: NDArray[np.int64]
) -> Iterator[NDArray[np.uint8]]:
    """Yield a clip's faces as SyncNet wants them, uint8 [224, 224, 3] BGR, of its pictures or of copies.

    Args:
        order: int64 [F], which of the clip's pictures each of them is.
    """
    boxes = np.array([faces.box_of(mesh) for mesh in clip.landmarks[order]])
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1) / 2
    courses = (sides, (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2)
    smooth = np.stack([lips.median_filter(course, _SMOOTHING) for course in courses], 1)
    for picture, (side, x, y) in zip(pictures, smooth, strict=True):
        height, width = picture.y.shape
        image = resized(picture, max(1, round(width * float(clip.pixel_aspect))), height)[:, :, ::-1]
        yield face_crop(image, float(side), float(x), float(y))


def face_crop(image: NDArray[np.uint8], side: float, x: float, y: float) -> NDArray[np.uint8]:
    """Return the crop [224, 224, 3] of a picture around a box: half its longer side, and its centre."""
    border = int(side * (1 + 2 * _MARGIN))
    padded = cv2.copyMakeBorder(
        np.ascontiguousarray(image), border, border, border, border, cv2.BORDER_CONSTANT, value=[_GREY] * 3
    )
    cx, cy = x + border, y + border
    top, bottom = int(cy - side), int(cy + side * (1 + 2 * _MARGIN))
    left, right = int(cx - side * (1 + _MARGIN)), int(cx + side * (1 + _MARGIN))
    size = (syncnet.SIZE, syncnet.SIZE)
    return np.asarray(cv2.resize(padded[max(0, top) : bottom, max(0, left) : right], size), np.uint8)


def _windows(frames: NDArray[np.uint8], count: int) -> Iterator[Tensor]:
    """Yield what the lip network looks at, float [<= 20, 3, 5, 224, 224]: `count` windows in all."""
    for first in range(0, count, _BATCH):
        last = min(first + _BATCH, count)
        windows = np.stack([frames[t : t + syncnet.FRAMES] for t in range(first, last)])
        yield torch.from_numpy(windows.transpose(0, 4, 1, 2, 3).astype(np.float32))


def _steps(samples: Samples, count: int) -> Tensor:
    """Return the inputs of the audio network, float [count, 1, 13, 20]."""
    cepstra = mfcc(samples).T.astype(np.float32)
    starts = np.arange(count) * (STEPS_PER_SECOND // FPS)
    return torch.from_numpy(np.stack([cepstra[None, :, t : t + syncnet.STEPS] for t in starts]))
