"""The lip-sync expert: whether five frames of a mouth and a piece of speech belong together.

Layer table: K. R. Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In The
Wild" (2020); state-dict names of the public `lipsync_expert.pth`, which loads as it is.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipserve.errors import SetupError
from lipserve_export.fetch.states import check_keys, read_state
from lipserve_export.wav2lip.network import ORIGINAL_WIDTH, Layer, Variant, blocks

_FACE = (
    Layer(15, 32, kernel=7, padding=3),
    Layer(32, 64, kernel=5, stride=(1, 2), repeats=2),
    Layer(64, 128, stride=2, repeats=3),
    Layer(128, 256, stride=2, repeats=2),
    Layer(256, 512, stride=2, repeats=2),
    Layer(512, 512, stride=2),
    Layer(512, 512, padding=0),
    Layer(512, 512, kernel=1, padding=0),
)
_AUDIO = (
    Layer(1, 32, repeats=2),
    Layer(32, 64, stride=(3, 1), repeats=2),
    Layer(64, 128, stride=(3, 3), repeats=2),
    Layer(128, 256, stride=(3, 2), repeats=2),
    Layer(256, 512, padding=0),
    Layer(512, 512, kernel=1, padding=0),
)
_FIRST = "face_encoder.0.conv_block.0.weight"
_STEM = _FACE[0].outputs


class Expert(nn.Module):
    """Two encoders whose embeddings agree where lips and speech do.

    Args:
        width: of every layer, relative to the public expert's.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        variant = Variant(round(width * ORIGINAL_WIDTH), residual=True)
        self.face_encoder = blocks(_FACE, variant)
        self.audio_encoder = blocks(_AUDIO, variant)

    def look(self, faces: Tensor) -> Tensor:
        """Return unit vectors [B, 512 width] of float [B, 15, 48, 96] in 0..1 (`losses.lower_halves`)."""
        return functional.normalize(self.face_encoder(faces).flatten(1).float())

    def listen(self, mel: Tensor) -> Tensor:
        """Return unit vectors [B, 512 width] of float [B, 1, 80, 16] in -4..4."""
        return functional.normalize(self.audio_encoder(mel).flatten(1).float())

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """Return the cosines [B], in 0..1: no component of an embedding is negative."""
        return agreement(self.listen(mel), self.look(faces))


def agreement(speech: Tensor, lips: Tensor) -> Tensor:
    """Return the cosines [B] of unit vectors [B, C] that have no negative component."""
    return (speech * lips).sum(1).clamp(0, 1)  # rounding may carry it beyond 1


def load_expert(path: Path) -> Expert:
    """Return the expert that a checkpoint holds, of any width, in inference mode.

    Raises:
        SetupError: the file is not a checkpoint, or not an expert's.
    """
    state = read_state(path)
    first = state.get(_FIRST)
    if first is None or first.shape[1:] != (15, 7, 7) or first.shape[0] % (_STEM // ORIGINAL_WIDTH):
        found = f"{_FIRST} is {list(first.shape)}" if first is not None else f"it has no {_FIRST}"
        raise SetupError(
            f"{path} is not a lip-sync expert: {found}.",
            "Give lipsync_expert.pth, or train one: lipserve train expert.",
        )
    with torch.device("meta"):
        expert = Expert(first.shape[0] / _STEM)
    check_keys(state, expert.state_dict(), path, "the lip-sync expert that its first layer announces")
    expert.load_state_dict(state, assign=True)
    return expert.eval()
