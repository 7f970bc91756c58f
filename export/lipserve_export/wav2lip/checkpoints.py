"""Reader of Wav2Lip checkpoints in all published forms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from torch import Tensor

from lipserve.contracts import Framing
from lipserve.errors import SetupError
from lipserve_export.fetch.files import read_bytes, sha256
from lipserve_export.fetch.states import check_keys, content, read_state
from lipserve_export.wav2lip.network import Variant, Wav2Lip

_FIRST = "face_encoder_blocks.0.0.conv_block.0.weight"
_WIDTHS = range(4, 65, 4)  # the compressed and the original generator have 4 and 16
_MAX_OFFSET_MS = 100  # a segment brings speech enough around it for that


def load_generator(path: Path) -> tuple[Wav2Lip, str]:
    """Return the generator that a checkpoint holds, in inference mode, and the file's sha256.

    What `read_state` reads is accepted. Loading is strict.

    Raises:
        SetupError: the file is none of these, or not a Wav2Lip generator, or does not fit key by key.
    """
    digest = sha256(read_bytes(path))
    state = read_state(path)
    model = Wav2Lip(_variant(state, path))
    check_keys(state, model.state_dict(), path, "the generator that its first layer announces")
    model.load_state_dict(state)
    return model.eval(), digest


def read_mel_offset(path: Path, unnamed: float = 0.0) -> float:
    """Return `mel_offset_ms` of a checkpoint: how much earlier than at Wav2Lip's inference a frame hears.

    Args:
        unnamed: of a checkpoint that names none, as the public ones do: a generator's is 0.

    Raises:
        SetupError: no checkpoint; or the offset is no number of -200 to 200.
    """
    held = content(path)
    offset = held.get("mel_offset_ms", unnamed) if isinstance(held, Mapping) else unnamed
    if not isinstance(offset, int | float) or not -_MAX_OFFSET_MS <= offset <= _MAX_OFFSET_MS:
        raise SetupError(
            f"{path} has a mel_offset_ms of {offset!r}.",
            f"Save it again with a number from {-_MAX_OFFSET_MS} to {_MAX_OFFSET_MS}, usually 0 or -40.",
        )
    return float(offset)


def read_framing(path: Path) -> Framing:
    """Return how the crops lie that a checkpoint's generator knows: its `framing`.

    Where it names none, `mel_offset_ms` tells of our own training, whose crops are aligned; without either it
    is a public checkpoint, which knows boxes.

    Raises:
        SetupError: no checkpoint; or the framing is none.
    """
    held = content(path)
    marks: Mapping[str, Any] = held if isinstance(held, Mapping) else {}
    framing = marks.get("framing", "similarity" if "mel_offset_ms" in marks else "box")
    if framing not in get_args(Framing):
        raise SetupError(
            f"{path} has the framing {framing!r}.",
            f"Save it again with one of: {', '.join(get_args(Framing))}.",
        )
    return cast(Framing, framing)


def _variant(state: dict[str, Tensor], path: Path) -> Variant:
    first = state.get(_FIRST)
    fits = first is not None and first.ndim == 4 and first.shape[1:] == (6, 7, 7)
    if first is None or not fits or first.shape[0] not in _WIDTHS:
        found = f"{_FIRST} is {list(first.shape)}" if first is not None else f"it has no {_FIRST}"
        raise SetupError(
            f"{path} is not a generator of the Wav2Lip family at 96 pixels: {found}.",
            "Give wav2lip.pth, wav2lip_gan.pth or a compressed generator; the sync expert, the quality "
            "discriminator and the 256 or 288 pixel generators of other projects are different networks.",
        )
    residual = any(key.startswith("face_encoder_blocks.1.1.") for key in state)
    return Variant(width=int(first.shape[0]), residual=residual)
