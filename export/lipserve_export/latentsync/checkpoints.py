"""Load the quality tier's networks from the files in which they are published, strictly.

Of a UNet3D the shapes show everything but the number of heads and of groups, so its widths must be known
ones. Files are mapped into memory: a whole UNet3D is 5 GB.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from lipserve.contracts.latentsync import AUDIO_WIDTH
from lipserve.errors import SetupError
from lipserve_export.fetch.files import file_sha256
from lipserve_export.fetch.states import check_keys, read_state
from lipserve_export.graphs.whisper import WhisperEncoder
from lipserve_export.latentsync import unet3d, vae
from lipserve_export.latentsync.unet3d import IN_CHANNELS, Motion, UNet3D, UNet3DConfig
from lipserve_export.latentsync.vae import VaeConfig

_UNETS = {config.block_out_channels: config for config in (unet3d.FULL, unet3d.TINY)}
_VAES = {config.block_out_channels: config for config in (vae.FULL, vae.TINY)}
_MIDDLE = re.compile(r"\.mid_block\.attentions\.0\.(query|key|value|proj_attn)\.")
_RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_Network = TypeVar("_Network", bound=nn.Module)


def load_unet(path: Path) -> tuple[UNet3D, str]:
    """Return the UNet3D that a checkpoint holds, in inference mode and float32, and the file's sha256.

    Accepted: `{global_step, state_dict}`, a bare state dict or safetensors, with `module.` prefixes or
    without; with motion modules at all levels (1246 keys), those of the decoder (1022) or none (686).

    Raises:
        SetupError: the file is none of these, or another network, or does not fit key by key.
    """
    state = read_state(path)
    config = _unet_config(state, path)
    with torch.device("meta"):
        unet = UNet3D(config)
    network = f"LatentSync's UNet3D (motion modules: {config.motion}) at the widths that it announces"
    return _filled(unet, state, path, network), file_sha256(path)


def load_vae(path: Path) -> tuple[AutoencoderKL, str]:
    """Return Stable Diffusion's autoencoder, in inference mode and float32, and the file's sha256.

    Accepted: sd-vae-ft-mse as diffusers names it, safetensors or PyTorch, with the attention's names of
    today (`to_q`) or those of before (`query`).

    Raises:
        SetupError: as `load_unet`.
    """
    state = {
        _MIDDLE.sub(lambda found: f".mid_block.attentions.0.{_RENAMED[found[1]]}.", key): value
        for key, value in read_state(path).items()
    }
    config = _vae_config(state, path)
    with torch.device("meta"):
        autoencoder = config.build()
    return _filled(autoencoder, state, path, "the autoencoder sd-vae-ft-mse"), file_sha256(path)


def load_whisper(path: Path) -> tuple[WhisperEncoder, str]:
    """Return the encoder of Whisper tiny, in inference mode and float32, and the file's sha256.

    Accepted: OpenAI's `{dims, model_state_dict}`, of which the decoder and `ln_post` are left aside.

    Raises:
        SetupError: as `load_unet`.
    """
    state = {
        key.removeprefix("encoder."): value
        for key, value in read_state(path).items()
        if key.startswith("encoder.") and not key.startswith("encoder.ln_post.")
    }
    with torch.device("meta"):
        encoder = WhisperEncoder()
    first = encoder.conv1.weight.shape
    _expect(
        state,
        "conv1.weight",
        tuple(first),
        path,
        "the encoder of OpenAI's Whisper tiny",
        "Give OpenAI's tiny.pt; other sizes, and Hugging Face's naming, are different files.",
    )
    return _filled(encoder, state, path, "the encoder of Whisper tiny"), file_sha256(path)


def _unet_config(state: dict[str, Tensor], path: Path) -> UNet3DConfig:
    name, remedy = (
        "LatentSync's UNet3D",
        "Give latentsync_unet.pt of LatentSync 1.5 or 1.6; SyncNet's checkpoint and Stable Diffusion's UNets "
        "are different networks.",
    )
    _expect(state, "conv_in.weight", (None, IN_CHANNELS, 3, 3), path, name, remedy)
    first = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    _expect(state, first, (None, AUDIO_WIDTH), path, f"{name} for Whisper tiny", remedy)
    widths = _widths(state, "down_blocks.{}.resnets.0.conv1.weight")
    if widths not in _UNETS:
        raise SetupError(f"{path} is a UNet3D of the wrong width: its levels have {widths} channels.", remedy)
    motion: Motion = "none"
    if any(".motion_modules." in key for key in state):
        encodes = any(key.startswith("down_blocks.") and ".motion_modules." in key for key in state)
        motion = "all" if encodes else "decoder"
    return UNet3DConfig(**{**vars(_UNETS[widths]), "motion": motion})


def _vae_config(state: dict[str, Tensor], path: Path) -> VaeConfig:
    name, remedy = (
        "Stable Diffusion's autoencoder",
        "Give diffusion_pytorch_model.safetensors of stabilityai/sd-vae-ft-mse.",
    )
    _expect(state, "encoder.conv_in.weight", (None, 3, 3, 3), path, name, remedy)
    widths = _widths(state, "encoder.down_blocks.{}.resnets.0.conv1.weight")
    for known, config in _VAES.items():
        if widths == known:
            return config
    raise SetupError(f"{path} is an autoencoder of the wrong width: its levels have {widths}.", remedy)


def _widths(state: dict[str, Tensor], pattern: str) -> tuple[int, ...]:
    """Return the output channels of the first residual block of each level."""
    widths: list[int] = []
    while (key := pattern.format(len(widths))) in state:
        widths.append(int(state[key].shape[0]))
    return tuple(widths)


def _expect(
    state: dict[str, Tensor], key: str, shape: tuple[int | None, ...], path: Path, name: str, remedy: str
) -> None:
    """Check one tensor that no other network has in that shape; None is any size."""
    found = list(state[key].shape) if key in state else None
    if found is None:
        raise SetupError(f"{path} is not {name}: it has no {key}.", remedy)
    if len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise SetupError(f"{path} is not {name}: {key} is {found}, expected [{wanted}].", remedy)


def _filled(empty: _Network, state: dict[str, Tensor], path: Path, name: str) -> _Network:
    """Return a network on the meta device with the tensors of a state dict, which must be all of its own."""
    check_keys(state, empty.state_dict(), path, name)
    empty.load_state_dict({key: value.float() for key, value in state.items()}, strict=True, assign=True)
    return empty.eval().requires_grad_(False)
