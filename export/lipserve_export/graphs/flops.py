"""How much arithmetic a network is, counted without doing it."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lipserve.contracts import Model


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
