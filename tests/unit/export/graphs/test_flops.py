"""The table of the quality tier's arithmetic is that of its networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lipserve.contracts import Form, leaves
from lipserve.latentsync.flops import leaf_gflop, window_gflop
from lipserve_export.graphs.flops import gflop
from lipserve_export.graphs.whisper import WhisperEncoder
from lipserve_export.latentsync import vae
from lipserve_export.latentsync.denoise import DenoiseStep, DenoiseStepShallow
from lipserve_export.latentsync.unet3d import FULL, TINY, UNet3D
from lipserve_export.latentsync.vae import VaeDecoder, VaeEncoder


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


@pytest.mark.slow
@pytest.mark.parametrize("resolution", [256, pytest.param(512, marks=pytest.mark.whole)])
def test_the_table_is_what_the_full_networks_do(resolution: int) -> None:
    counted = full_width(resolution)
    assert leaf_gflop(Form(resolution)) == pytest.approx(counted, rel=1e-5)


def test_the_published_figures() -> None:
    """UNet3D alone, the VAE and Whisper, as counted on upstream's own code."""
    small, large = leaf_gflop(Form(256)), leaf_gflop(Form(512))
    assert small["denoise_step"] / 2 == pytest.approx(4050.5, abs=0.05)
    assert large["denoise_step"] / 2 == pytest.approx(17625.7, abs=0.05)
    assert (small["vae_encoder"], small["vae_decoder"]) == pytest.approx((272.7, 622.2), abs=0.05)
    assert (large["vae_encoder"], large["vae_decoder"]) == pytest.approx((1116.7, 2514.5), abs=0.05)
    assert small["whisper_encoder"] == large["whisper_encoder"] == pytest.approx(36.9, abs=0.05)
    assert small["denoise_step_shallow"] / 2 == pytest.approx(263, abs=0.5)
    assert large["denoise_step_shallow"] / 2 == pytest.approx(1310, abs=0.5)


def test_windows_of_the_recipes() -> None:
    assert window_gflop(512, 20) / 1e3 == pytest.approx(781, abs=0.5)  # exact: 20 whole steps
    assert window_gflop(256, 20) / 1e3 == pytest.approx(180.7, abs=0.5)
    whole, shallow = 35.2514, 2.6205
    assert window_gflop(512, 20, 3) / 1e3 == pytest.approx(7 * whole + 13 * shallow + 75.97, abs=0.1)


def test_another_width_has_no_figures() -> None:
    assert leaf_gflop(Form(256, channels=16)) == {}


def test_a_tiny_step_counts_both_halves_of_its_guidance() -> None:
    form = Form(256, TINY.block_out_channels[0])
    model = next(model for model in leaves(form) if model.name == "denoise_step")
    with torch.device("meta"):
        unet = UNet3D(TINY)
        step = gflop(DenoiseStep(unet), model)
        sample = torch.empty(1, 13, 16, form.grid, form.grid)
        with FlopCounterMode(display=False) as counter:
            unet(sample, torch.empty(1), torch.empty(1, 16, 50, 384))
    assert step == pytest.approx(2 * counter.get_total_flops() / 1e9)
    assert 0 < step < 0.01 * leaf_gflop(Form(256))["denoise_step"]
