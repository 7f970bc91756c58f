"""A clip of the evaluation: its inputs, its ground truth, and the measures that the tiers share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lipserve import align, faces
from lipserve.contracts import FACE_LANDMARKS, MESH_SIZE, TierName
from lipserve.files.picture import Picture
from lipserve.leaves import Leaves as AnyLeaves
from lipserve.quality import lips
from lipserve.quality.lips import Series
from lipserve_training.evaluate import closure, features, lse, picture
from lipserve_training.evaluate.clips import Clip
from lipserve_training.evaluate.leaves import Leaves
from lipserve_training.evaluate.picture import Image, Mask
from lipserve_training.evaluate.reenact import Driven, Driver
from lipserve_training.evaluate.rows import Sync
from lipserve_training.lipwarp.phones import Alignments
from lipserve_training.models.lpips import Lpips
from lipserve_training.models.syncnet import SyncNet

SAMPLED = 12  # frames of a clip, evenly spread, that the costly networks look at
_LPIPS_SIDE = 256  # pixels of a face crop, at most, that LPIPS looks at ...
_LPIPS_BOX = (0.12, 0.38, 0.88, 1.0)  # ... and the part of it: x0, y0, x1, y1 around the tiers' masks


@dataclass(frozen=True)
class Tools:
    """The tiers that are judged, and what judges them.

    Attributes:
        alignments: the words of sentences; None: closures are not measured.
        lpips, features, syncnet: networks; None: their measure is left out.
    """

    leaves: Leaves
    drivers: Mapping[TierName, Driver]
    alignments: Alignments | None = None
    lpips: Lpips | None = None
    features: features.Network | None = None
    syncnet: SyncNet | None = None


class Scene:
    """A clip: what is sent of it, and its truth."""

    def __init__(self, clip: Clip, tools: Tools) -> None:
        self.clip, self.tools = clip, tools
        self.driven = Driven.of(clip)
        self.natural = np.arange(len(clip))
        self.side = picture.side_of(clip)
        self.sampled = np.linspace(0, len(clip) - 1, min(SAMPLED, len(clip))).round().astype(int)

    @cached_property
    def lips(self) -> Series:
        """The lip measures [F, 4] of the true video."""
        return lips.measure(meshes(self.tools.leaves, self.clip, self.clip.pictures, self.natural))

    @cached_property
    def crops(self) -> list[Image]:
        """The true faces, F of uint8 [S, S, 3] RGB."""
        return list(picture.crops(self.clip, self.clip.pictures, self.natural, self.side))

    def meshes(self, pictures: Iterable[Picture], frames: int) -> NDArray[np.float64]:
        """Return the meshes [F, 468, 2] of the first driven pictures, changed or not."""
        return meshes(self.tools.leaves, self.clip, pictures, self.driven.order[:frames])

    def closures(self, shown: Series) -> list[float]:
        """Return how far lips [F, 4] are open where the sentence asks for them to meet."""
        sentence = closure.sentence_of(self.clip.name)
        words = (self.tools.alignments or {}).get((self.clip.speaker, sentence or ""), ())
        moments = closure.bilabials(words, self.clip.first - self.clip.offset)
        return closure.openings(shown[:, 0], moments, self.lips[:, 0])

    def chroma_shift(self, shown: Sequence[Picture], mask: Mask) -> float:
        """Return by how much U or V, whichever does more, differs from the driven frame's under a mask."""
        places = self.clip.placed(self.side)[self.driven.order]
        shifts = [
            picture.chroma(made, place, mask) - picture.chroma(source, place, mask)
            for made, source, place in zip(shown, self.driven.pictures, places, strict=True)
        ]
        return float(np.abs(shifts).mean(0).max())

    @cached_property
    def true_looks(self) -> list[list[Tensor]]:
        """LPIPS features of the sampled real faces."""
        return self.looks(self.crops)

    @cached_property
    def driven_looks(self) -> list[list[Tensor]]:
        """LPIPS features of the faces that are driven at the same moments."""
        return self.looks([self.crops[frame] for frame in self.driven.order])

    def looks(self, crops: Sequence[Image]) -> list[list[Tensor]]:
        """Return the LPIPS features of the sampled faces, if LPIPS is there."""
        network = self.tools.lpips
        return [network.features(lower(crops[frame])[None]) for frame in self.sampled] if network else []

    def unlike(self, looks: Sequence[list[Tensor]], mask: Mask) -> float | None:
        """Return the mean LPIPS of the sampled faces from the true ones under a mask [S, S]."""
        network = self.tools.lpips
        if network is None:
            return None
        pairs = zip(looks, self.true_looks, strict=True)
        return float(np.mean([float(network(made, true, lower(mask))) for made, true in pairs]))

    def seen(self, crops: Sequence[Image]) -> features.Features:
        """Return what a network of features, if there is one, sees of the sampled faces."""
        if self.tools.features is None:
            return np.zeros((0, 0))
        return features.extract(self.tools.features, np.stack([crops[frame] for frame in self.sampled]))

    def sync(self, shown: Sequence[Picture], order: NDArray[np.int64]) -> Sync | None:
        """Return SyncNet's figures of images and the clip's speech, if SyncNet is there."""
        if self.tools.syncnet is None:
            return None
        crops = lse.face_crops(self.clip, shown, order)
        lse_d, lse_c, offset = lse.score(self.tools.syncnet, crops, self.clip.samples)
        return Sync(lse_d=lse_d, lse_c=lse_c, av_offset=offset)


def meshes(
    leaves: AnyLeaves, clip: Clip, pictures: Iterable[Picture], order: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the meshes [F, 468, 2] of pictures that show the frames `order` of a clip, or copies of them.

    The mesh looks through the square that the clip's own face asks for: its own lips and generated ones are
    measured in the same place.
    """
    arriving: Iterator[tuple[Picture, int]] = zip(pictures, order, strict=True)
    found = []
    while block := list(islice(arriving, FACE_LANDMARKS.max_batch_size)):
        rois = [faces.roi_of_landmarks(clip.landmarks[frame]) for _, frame in block]
        images = []
        for (shown, _), roi in zip(block, rois, strict=True):
            matrix = roi.to_input()
            matrix[:, 0] *= float(clip.pixel_aspect)
            images.append(align.crop(shown, matrix.astype(np.float32), MESH_SIZE))
        points = leaves("face_landmarks", {"IMAGES": np.stack(images)})["LANDMARKS"]
        found += [faces.from_input(mesh, roi)[..., :2] for mesh, roi in zip(points, rois, strict=True)]
    return np.stack(found)


def lower(image: NDArray[Any]) -> NDArray[Any]:
    """Return what LPIPS looks at of a face crop or of its mask [S, S, ...]: the lower face, not too large."""
    side = (_LPIPS_SIDE, _LPIPS_SIDE)
    small = cv2.resize(image, side, interpolation=cv2.INTER_AREA) if len(image) > _LPIPS_SIDE else image
    x0, y0, x1, y1 = (round(edge * len(small)) for edge in _LPIPS_BOX)
    return np.ascontiguousarray(small[y0:y1, x0:x1])
