from __future__ import annotations

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from lipserve_export.latentsync.vae import FULL, TINY, VaeDecoder, VaeEncoder, random_vae


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return random_vae(TINY, 1).requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_the_full_width_is_the_published_network() -> None:
    with torch.device("meta"):
        vae = FULL.build()
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
    assert vae.config.scaling_factor == 0.18215


def test_the_vae_encodes_as_diffusers_does(vae: AutoencoderKL, images: torch.Tensor) -> None:
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    latents, moments = VaeEncoder(vae)(images, noise)
    posterior = vae.encode(images).latent_dist
    torch.testing.assert_close(latents, (posterior.mean + posterior.std * noise) * 0.18215)
    torch.testing.assert_close(moments[:, :4], posterior.mean)
    torch.testing.assert_close(moments[:, 4:], posterior.logvar)
    mode, _ = VaeEncoder(vae)(images, torch.zeros_like(noise))
    torch.testing.assert_close(mode, posterior.mode() * 0.18215)
    assert (latents - mode).abs().max() > 0.01


def test_the_vae_decodes_as_diffusers_does(vae: AutoencoderKL) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(VaeDecoder(vae)(latents), vae.decode(latents / 0.18215).sample)


def test_log_variances_are_clamped() -> None:
    vae = random_vae(TINY, 1).requires_grad_(False)
    assert vae.quant_conv is not None
    vae.quant_conv.bias[4:6] = -1000
    vae.quant_conv.bias[6:] = 1000
    latents, moments = VaeEncoder(vae)(torch.zeros(1, 3, 64, 64), torch.ones(1, 4, 8, 8))
    assert (moments[:, 4:6] == -30).all()
    assert (moments[:, 6:] == 20).all()
    assert latents.isfinite().all()


def test_random_weights_follow_their_seed_and_have_a_real_ones_scale(
    vae: AutoencoderKL, images: torch.Tensor
) -> None:
    before = torch.get_rng_state()
    same, other = random_vae(TINY, 1).state_dict(), random_vae(TINY, 2).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, same[name]) for name, value in vae.state_dict().items())
    assert not torch.equal(same["encoder.conv_in.weight"], other["encoder.conv_in.weight"])
    latents, moments = VaeEncoder(vae)(images, torch.zeros(2, 4, 8, 8))
    assert 0.7 < latents.std() < 1.4
    assert -6 < moments[:, 4:].mean() < -2
    assert 0.3 < VaeDecoder(vae)(latents).std() < 0.5
