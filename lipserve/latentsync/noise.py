"""Random numbers of a clip: each draw has a key of its own and depends on no other draw.

So a clip in segments has the noise of the whole, and another request's draws change nothing. The generator is
NumPy's Philox, which gives the same numbers on every machine. They are not upstream's: those come from
torch's stream on a GPU, in the order of its calls, and depend on the GPU.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lipserve.contracts.latentsync import LATENT_CHANNELS

Picture = Literal["masked", "reference"]

_INITIAL = 0
_POSTERIOR: dict[Picture, int] = {"masked": 1, "reference": 2}


def initial(seed: int, grid: int) -> NDArray[np.float32]:
    """Return the noise that denoising starts from, float32 [4, h, w], standard normal.

    It is one for all frames and windows of a clip (the reference's choice: frames then differ by what they
    show, and do not flicker).

    Args:
        seed: at least 0.
        grid: h and w.
    """
    return _draw(seed, (_INITIAL,), grid)


def posterior(seed: int, frames: NDArray[np.int64], which: Picture, grid: int) -> NDArray[np.float32]:
    """Return the noise of the VAE encoder's posterior, float32 [F, 4, h, w], standard normal.

    Several faces in one frame have the same: their order may differ from segment to segment.

    Args:
        seed: at least 0.
        frames: int64 [F], output frames counted from the clip's first.
        which: of the two pictures of a face that are encoded.
    """
    return np.stack([_draw(seed, (_POSTERIOR[which], int(frame)), grid) for frame in frames])


def _draw(seed: int, key: tuple[int, ...], grid: int) -> NDArray[np.float32]:
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))
    return generator.standard_normal((LATENT_CHANNELS, grid, grid), np.float32)
