"""`lipserve export whisper|vae|unet|latentsync`: the quality tier's leaves into a model repository."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from lipserve.contracts import Form, Model, leaves
from lipserve_export.graphs.leaf import Origin, write_leaf
from lipserve_export.graphs.manifest import NAME, folder, read
from lipserve_export.graphs.parity import of_module, plausible_inputs
from lipserve_export.graphs.whisper import WhisperEncoder, random_whisper
from lipserve_export.latentsync import unet3d, vae
from lipserve_export.latentsync.checkpoints import load_unet, load_vae, load_whisper
from lipserve_export.latentsync.denoise import DenoiseStep, DenoiseStepShallow
from lipserve_export.latentsync.unet3d import UNet3D, random_unet
from lipserve_export.latentsync.vae import VaeDecoder, VaeEncoder, random_vae

Say = Callable[[str], None]
KEPT = ("unet/time_embedding",)
"""Modules of a denoising step that stay FP32 in half precision: a step is one of 1000."""
_N = TypeVar("_N")


@dataclass(frozen=True)
class Source(Generic[_N]):
    """A network in inference mode, and where its weights come from."""

    network: _N
    weights: str


def whisper_source(source: Path | int) -> Source[WhisperEncoder]:
    """Return Whisper's encoder out of a checkpoint, or of random weights by a seed."""
    if isinstance(source, int):
        return Source(random_whisper(source), _random(source))
    encoder, digest = load_whisper(source)
    return Source(encoder, f"{source.name}, sha256 {digest}")


def vae_source(source: Path | int) -> Source[AutoencoderKL]:
    """Return an autoencoder out of a checkpoint, or of reduced width and random weights by a seed."""
    if isinstance(source, int):
        return Source(random_vae(vae.TINY, source), _random(source))
    autoencoder, digest = load_vae(source)
    return Source(autoencoder, f"{source.name}, sha256 {digest}")


def unet_source(source: Path | int) -> Source[UNet3D]:
    """Return a UNet3D out of a checkpoint, or of reduced width and random weights by a seed."""
    if isinstance(source, int):
        return Source(random_unet(unet3d.TINY, source), _random(source))
    unet, digest = load_unet(source)
    return Source(unet, f"{source.name}, sha256 {digest}")


def export_whisper(repository: Path, source: Source[WhisperEncoder], form: Form, say: Say) -> None:
    """Write `whisper_encoder`."""
    origin = Origin(source.weights, "tiny", form)
    write_leaf(repository, _leaf("whisper_encoder", form), source.network, origin, say)


def export_vae(repository: Path, source: Source[AutoencoderKL], form: Form, say: Say) -> None:
    """Write `vae_encoder` and `vae_decoder`, the decoder compared on latents that the encoder gives."""
    origin = Origin(source.weights, f"channels {_joined(source.network.config.block_out_channels)}", form)
    encoder, decoder = VaeEncoder(source.network), VaeDecoder(source.network)
    contract = _leaf("vae_encoder", form)
    given = plausible_inputs(contract, 1)
    write_leaf(repository, contract, encoder, origin, say, given)
    latents = of_module(encoder, contract, given)["LATENTS"]
    write_leaf(repository, _leaf("vae_decoder", form), decoder, origin, say, {"LATENTS": latents})


def export_unet(repository: Path, source: Source[UNet3D], resolution: int, say: Say) -> None:
    """Write `denoise_step` and `denoise_step_shallow`."""
    unet, config = source.network, source.network.config
    variant = f"channels {_joined(config.block_out_channels)}, motion modules: {config.motion}"
    form = Form(resolution, config.block_out_channels[0])
    origin = Origin(source.weights, variant, form)
    write_leaf(repository, _leaf("denoise_step", form), DenoiseStep(unet), origin, say, keep=KEPT)
    shallow = _leaf("denoise_step_shallow", form)
    write_leaf(repository, shallow, DenoiseStepShallow(unet), origin, say, keep=KEPT)


def export_all(
    repository: Path,
    whisper: Source[WhisperEncoder],
    autoencoder: Source[AutoencoderKL],
    unet: Source[UNet3D],
    resolution: int,
    say: Say,
) -> None:
    """Write the five leaves."""
    form = Form(resolution, unet.network.config.block_out_channels[0])
    export_whisper(repository, whisper, form, say)
    export_vae(repository, autoencoder, form, say)
    export_unet(repository, unet, resolution, say)


def form_beside(repository: Path, source: Path | int, resolution: int | None = None) -> Form:
    """Return the shapes for a network that is exported alone: those of the UNet3D that lies there already.

    Where none lies, they are those of the one that comes with such a source, a checkpoint or a seed.
    """
    config = unet3d.TINY if isinstance(source, int) else unet3d.FULL
    form = Form(channels=config.block_out_channels[0])
    if (folder(repository, "denoise_step") / NAME).is_file():
        form = read(repository, "denoise_step").form
    return Form(resolution or form.resolution, form.channels)


def _leaf(name: str, form: Form) -> Model:
    return {model.name: model for model in leaves(form)}[name]


def _random(seed: int) -> str:
    return f"random weights, seed {seed}"


def _joined(widths: Sequence[int]) -> str:
    return "/".join(map(str, widths))
