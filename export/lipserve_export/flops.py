"""How much arithmetic the quality tier's leaves are, counted without doing it."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lipserve.contracts import Form, Model, leaves
from lipserve_export.models import vae
from lipserve_export.models.denoise import DenoiseStep, DenoiseStepShallow
from lipserve_export.models.unet3d import FULL, UNet3D
from lipserve_export.models.vae import VaeDecoder, VaeEncoder
from lipserve_export.models.whisper import WhisperEncoder


def gflop(network: nn.Module, model: Model) -> float:
    """Return the 10^9 operations of one row of `model` in a network, wherever its weights lie.

    Convolutions, linear layers and the products of attention are counted, a multiplication and an addition
    as two operations; norms and activations are not.
    """
    inputs = tuple(torch.empty((1, *tensor.dims), device="meta") for tensor in model.inputs)
    held = (*network.named_parameters(), *network.named_buffers())
    shapes = {name: tensor.to("meta") for name, tensor in held}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        torch.func.functional_call(network, shapes, inputs)
    return float(counter.get_total_flops()) / 1e9


def full_width(resolution: int) -> dict[str, float]:
    """Return `gflop` of every leaf of the quality tier as published."""
    with torch.device("meta"):
        unet, autoencoder = UNet3D(FULL), vae.FULL.build()
        networks: dict[str, nn.Module] = {
            "whisper_encoder": WhisperEncoder(),
            "vae_encoder": VaeEncoder(autoencoder),
            "vae_decoder": VaeDecoder(autoencoder),
            "denoise_step": DenoiseStep(unet),
            "denoise_step_shallow": DenoiseStepShallow(unet),
        }
        form = Form(resolution, FULL.block_out_channels[0])
        return {model.name: gflop(networks[model.name].eval(), model) for model in leaves(form)}
