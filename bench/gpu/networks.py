"""The quality tier's leaves as PyTorch modules with random weights, and inputs for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.gpu.device import Device
from lipserve.contracts import Form, Model, leaves
from lipserve.latentsync.flops import leaf_gflop
from lipserve.latentsync.schedulers import schedule
from lipserve_export.graphs.flops import gflop
from lipserve_export.latentsync import unet3d, vae
from lipserve_export.latentsync.attention import Attention
from lipserve_export.latentsync.denoise import DenoiseStep, DenoiseStepShallow
from lipserve_export.latentsync.vae import VaeDecoder, VaeEncoder, random_vae

SEED = 1247


class Networks:
    """The VAE's two halves and both denoising steps, at full width on a GPU and as small as can be on a CPU.

    Attributes:
        modules: by the leaf's name; each takes and gives float32, and computes in the device's type.
        channels: of UNet3D's first level.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._gflop: dict[tuple[str, int], float] = {}
        width = unet3d.FULL if device.is_gpu else unet3d.TINY
        unet = unet3d.random_unet(width, SEED).to(device.place, device.dtype)
        autoencoder = random_vae(vae.FULL if device.is_gpu else vae.TINY, SEED).to(device.place, device.dtype)
        self.channels = width.block_out_channels[0]
        self.modules: dict[str, nn.Module] = {
            "vae_encoder": Typed(VaeEncoder(autoencoder), device.dtype),
            "vae_decoder": Typed(VaeDecoder(autoencoder), device.dtype),
            "denoise_step": DenoiseStep(unet),
            "denoise_step_shallow": DenoiseStepShallow(unet),
        }

    def contracts(self, resolution: int) -> dict[str, Model]:
        """Return the leaves' contracts by name."""
        return {model.name: model for model in leaves(Form(resolution, self.channels))}

    def gflop(self, contract: Model, resolution: int) -> float:
        """Return the 10^9 operations of one row."""
        key = (contract.name, resolution)
        if key not in self._gflop:
            known = leaf_gflop(Form(resolution, self.channels)).get(contract.name)
            self._gflop[key] = known or gflop(self.modules[contract.name], contract)
        return self._gflop[key]

    def inputs(self, contract: Model, batch: int) -> dict[str, Tensor]:
        """Return noise of unit variance, and where a step is told something, what the first of 20 is."""
        source = torch.Generator(self._device.place).manual_seed(SEED)
        first = schedule("ddim", 20)[0]
        told: Mapping[str, Tensor] = {
            "TIMESTEP": torch.tensor([first.timestep]),
            "GUIDANCE": torch.tensor([1.5]),
            "COEFFICIENTS": torch.from_numpy(first.coefficients),
        }
        made = {}
        for tensor in contract.inputs:
            shape = (batch, *tensor.dims)
            made[tensor.name] = (
                told[tensor.name].to(self._device.place).expand(shape).clone()
                if tensor.name in told
                else torch.randn(shape, generator=source, device=self._device.place)
            )
        return made


class Typed(nn.Module):
    """Float32 in and out, and another type inside."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(*(value.to(self.dtype) for value in inputs))
        every = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(value.float() for value in every)


@contextmanager
def fused_attention() -> Iterator[None]:
    """Have attention run as PyTorch's own kernel, as one would serve with PyTorch, inside the block.

    The modules write products and softmax out for the exporters; TensorRT fuses them again.
    """
    written_out = Attention.forward
    Attention.forward = _attend  # type: ignore[method-assign]
    try:
        yield
    finally:
        Attention.forward = written_out  # type: ignore[method-assign]


def _attend(self: Attention, x: Tensor, context: Tensor) -> Tensor:
    q, k, v = (
        projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        for projected in (self.to_q(x), self.to_k(context), self.to_v(context))
    )
    gathered = functional.scaled_dot_product_attention(q, k, v, scale=self.scale)
    attended: Tensor = self.to_out(gathered.transpose(1, 2).flatten(2))
    return attended
