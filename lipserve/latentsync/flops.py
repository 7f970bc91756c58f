"""The arithmetic of the quality tier at full width: the floor under every measured second.

In 10^9 operations, a multiplication and an addition being two; convolutions, linear layers and the products
of attention are counted, norms and activations are not. `lipserve_export.graphs.flops` counts them in the
networks themselves, and a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping

from lipserve.contracts.form import Form
from lipserve.contracts.latentsync import WINDOW

FULL_WIDTH = 320  # channels of UNet3D's first level, as published

_GFLOP: dict[int, dict[str, float]] = {
    256: {
        "whisper_encoder": 36.9377,
        "vae_encoder": 272.7222,
        "vae_decoder": 622.1873,
        "denoise_step": 8100.9639,
        "denoise_step_shallow": 526.8668,
    },
    512: {
        "whisper_encoder": 36.9377,
        "vae_encoder": 1116.6585,
        "vae_decoder": 2514.5189,
        "denoise_step": 35251.3806,
        "denoise_step_shallow": 2620.4747,
    },
}


def leaf_gflop(form: Form) -> Mapping[str, float]:
    """Return the operations of one row of each leaf; nothing for another width than the published one.

    A row is 30 s of mel, a picture, a picture's latents, or a step of a window of 16 frames with both halves
    of its guidance.
    """
    return _GFLOP[form.resolution] if form.channels == FULL_WIDTH else {}


def window_gflop(resolution: int, steps: int, deepcache: int = 1) -> float:
    """Return the operations of one window: two encodings and a decoding of each frame, and its steps.

    Args:
        deepcache: every how many steps one is whole; 1: each.
    """
    row = _GFLOP[resolution]
    whole = -(-steps // deepcache)
    pictures = WINDOW * (2 * row["vae_encoder"] + row["vae_decoder"])
    return whole * row["denoise_step"] + (steps - whole) * row["denoise_step_shallow"] + pictures
