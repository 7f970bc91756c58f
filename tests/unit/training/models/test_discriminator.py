from __future__ import annotations

import torch

from lipserve_training.models.discriminator import Discriminator


def test_the_size_and_the_names_of_the_public_one() -> None:
    with torch.device("meta"):
        network = Discriminator()
    assert sum(parameter.numel() for parameter in network.parameters()) == 14_113_793
    state = network.state_dict()
    assert list(state["face_encoder_blocks.1.0.conv_block.0.weight"].shape) == [64, 32, 5, 5]
    assert list(state["binary_pred.0.weight"].shape) == [1, 512, 1, 1]


def test_one_logit_for_each_lower_half() -> None:
    network = Discriminator()
    faces = torch.rand(2, 3, 48, 96)
    sizes = []
    with torch.no_grad():
        logits = network(faces)
        x = faces
        for block in network.face_encoder_blocks:
            x = block(x)
            sizes.append(tuple(x.shape[1:]))
    assert logits.shape == (2,)
    assert sizes == [
        (32, 48, 96),
        (64, 48, 48),
        (128, 24, 24),
        (256, 12, 12),
        (512, 6, 6),
        (512, 3, 3),
        (512, 1, 1),
    ]


def test_values_below_zero_leak_through() -> None:
    block = Discriminator().face_encoder_blocks[0]
    with torch.no_grad():
        block[0].conv_block[0].weight.zero_()
        block[0].conv_block[0].bias.fill_(-2)
        assert torch.allclose(block(torch.rand(1, 3, 48, 96)), torch.tensor(-0.02))
