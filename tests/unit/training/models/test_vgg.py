from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lipserve.errors import SetupError
from lipserve_training.models.vgg import Vgg, load_vgg, random_vgg

CHANNELS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256),
            14: (256, 256), 17: (256, 512), 19: (512, 512), 21: (512, 512)}  # fmt: skip


@pytest.fixture(scope="module")
def vgg() -> Vgg:
    return random_vgg(7)


def test_names_and_shapes_are_torchvision_s(vgg: Vgg) -> None:
    expected = {}
    for layer, (inputs, outputs) in CHANNELS.items():
        expected[f"features.{layer}.weight"] = [outputs, inputs, 3, 3]
        expected[f"features.{layer}.bias"] = [outputs]
    assert {key: list(value.shape) for key, value in vgg.state_dict().items()} == expected
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_the_taps_follow_the_named_activations_of_an_rgb_picture(vgg: Vgg) -> None:
    pictures = torch.rand(1, 3, 32, 32)
    state = vgg.state_dict()
    x, expected = pictures[:, [2, 1, 0]], []
    for layer in CHANNELS:
        if layer in (5, 10, 17):
            x = functional.max_pool2d(x, 2)
        weight, bias = state[f"features.{layer}.weight"], state[f"features.{layer}.bias"]
        x = functional.conv2d(x, weight, bias, padding=1).clamp(min=0)
        if layer in (2, 7, 14, 21):
            expected.append(x)
    found = vgg(pictures)
    assert [tuple(tap.shape[1:]) for tap in found] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=True))


def test_random_weights_say_so_and_keep_the_signal(vgg: Vgg) -> None:
    assert vgg.source == "random weights, seed 7"
    again = random_vgg(7).state_dict()
    assert all(torch.equal(again[key], value) for key, value in vgg.state_dict().items())
    assert all(0.1 < float(tap.std()) < 10 for tap in vgg(torch.rand(1, 3, 48, 48)))


def test_a_whole_checkpoint_loads_and_says_its_name(tmp_path: Path, vgg: Vgg) -> None:
    path = tmp_path / "vgg16.pth"
    torch.save(
        {**vgg.state_dict(), "features.24.weight": torch.ones(1), "classifier.0.bias": torch.ones(1)}, path
    )
    loaded = load_vgg(path)
    assert loaded.source == "vgg16.pth"
    assert torch.equal(loaded.state_dict()["features.21.weight"], vgg.state_dict()["features.21.weight"])


def test_another_network_is_refused(tmp_path: Path, vgg: Vgg) -> None:
    path = tmp_path / "other.pth"
    state = dict(vgg.state_dict())
    del state["features.21.bias"]
    state["features.5.weight"] = torch.zeros(64, 64, 3, 3)
    torch.save(state, path)
    with pytest.raises(SetupError, match=r"does not fit VGG-16") as caught:
        load_vgg(path)
    assert "1 missing: features.21.bias" in str(caught.value)
    assert "features.5.weight [64, 64, 3, 3], expected [128, 64, 3, 3]" in str(caught.value)
