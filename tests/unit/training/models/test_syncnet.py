from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipserve.errors import SetupError
from lipserve_training.models import syncnet
from lipserve_training.models.syncnet import SyncNet


@pytest.fixture(scope="module")
def network() -> SyncNet:
    torch.manual_seed(1)
    return SyncNet().eval()


def test_syncnet_has_the_published_size_and_names(network: SyncNet) -> None:
    counts: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        part = name.partition(".")[0]
        counts[part] = counts.get(part, 0) + parameter.numel()
    assert sum(counts.values()) == 13_631_616
    assert counts["netcnnaud"] + counts["netfcaud"] == 5_664_704
    assert counts["netcnnlip"] + counts["netfclip"] == 7_966_912
    # Activations and poolings count in the names of the public file.
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert shapes["netcnnaud.0.weight"] == [64, 1, 3, 3]
    assert shapes["netcnnaud.4.weight"] == [192, 64, 3, 3]
    assert shapes["netcnnaud.18.weight"] == [512, 256, 5, 4]
    assert shapes["netcnnlip.0.weight"] == [96, 3, 5, 7, 7]
    assert shapes["netcnnlip.8.weight"] == [256, 256, 1, 3, 3]
    assert shapes["netcnnlip.19.running_var"] == [512]
    assert shapes["netfcaud.3.weight"] == shapes["netfclip.3.weight"] == [1024, 512]


def test_the_layers_have_the_shapes_of_the_specification(network: SyncNet) -> None:
    with torch.inference_mode():
        heard = network.netcnnaud[:18](torch.zeros(1, 1, 13, 20))
        seen = network.netcnnlip[:18](torch.zeros(1, 3, 5, 224, 224))
        assert network.netcnnaud[:8](torch.zeros(1, 1, 13, 20)).shape == (1, 192, 11, 9)
        assert network.netcnnlip[:4](torch.zeros(1, 3, 5, 224, 224)).shape == (1, 96, 1, 54, 54)
    assert heard.shape == (1, 256, 5, 4)
    assert seen.shape == (1, 256, 1, 6, 6)


def test_streams_of_speech_and_lips_give_vectors_of_1024(network: SyncNet) -> None:
    with torch.inference_mode():
        assert network.hear(torch.randn(2, 1, 13, 20)).shape == (2, 1024)
        assert network.look(torch.rand(2, 3, 5, 224, 224) * 255).shape == (2, 1024)


def test_a_checkpoint_loads_and_another_network_is_refused(tmp_path: Path, network: SyncNet) -> None:
    path = tmp_path / "syncnet.model"
    torch.save(network.state_dict(), path)
    loaded = syncnet.load(path)
    assert not loaded.training
    assert torch.equal(loaded.netfclip[3].weight, network.netfclip[3].weight)
    torch.save({"other.weight": torch.zeros(3)}, path)
    with pytest.raises(SetupError, match="does not fit the evaluation SyncNet"):
        syncnet.load(path)
