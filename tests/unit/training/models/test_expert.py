from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipserve.errors import SetupError
from lipserve_export.wav2lip.network import VARIANTS, Wav2Lip
from lipserve_training.models.expert import Expert, load_expert


@pytest.fixture(scope="module")
def expert() -> Expert:
    torch.manual_seed(3)
    return Expert(0.25).eval()


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_public_expert_s_size_and_names() -> None:
    with torch.device("meta"):
        expert = Expert()
    assert parameters(expert) == 16_435_072
    assert parameters(expert.face_encoder) == 13_031_808
    assert parameters(expert.audio_encoder) == 3_403_264
    state = expert.state_dict()
    assert len(state) == (17 + 14) * 7
    assert list(state["face_encoder.1.conv_block.0.weight"].shape) == [64, 32, 5, 5]
    assert list(state["face_encoder.16.conv_block.1.running_mean"].shape) == [512]
    assert list(state["audio_encoder.11.conv_block.0.weight"].shape) == [256, 256, 3, 3]
    assert list(state["audio_encoder.13.conv_block.0.bias"].shape) == [512]


def test_every_layer_has_the_size_of_the_table(expert: Expert) -> None:
    sizes = []
    x = torch.rand(1, 15, 48, 96)
    for block in expert.face_encoder:
        x = block(x)
        sizes.append(tuple(x.shape[2:]))
    table = {
        0: (48, 96),
        1: (46, 47),
        4: (23, 24),
        8: (12, 12),
        11: (6, 6),
        14: (3, 3),
        15: (1, 1),
        16: (1, 1),
    }
    assert {layer: sizes[layer] for layer in table} == table


def test_the_cosine_is_that_of_the_two_embeddings(expert: Expert) -> None:
    mel, faces = torch.randn(3, 1, 80, 16), torch.rand(3, 15, 48, 96)
    with torch.no_grad():
        a, v = expert.audio_encoder(mel).flatten(1).double(), expert.face_encoder(faces).flatten(1).double()
        found = expert(mel, faces)
    expected = (a * v).sum(1) / a.norm(dim=1) / v.norm(dim=1)
    assert found.shape == (3,)
    assert torch.allclose(found.double(), expected, atol=1e-6)
    assert ((found >= 0) & (found <= 1)).all()


def test_the_published_form_loads(tmp_path: Path, expert: Expert) -> None:
    path = tmp_path / "lipsync_expert.pth"
    state = {f"module.{key}": value for key, value in expert.state_dict().items()}
    torch.save({"state_dict": state, "optimizer": {}, "global_step": 7, "global_epoch": 1}, path)
    loaded = load_expert(path)
    assert not loaded.training
    found = loaded.state_dict()
    assert all(torch.equal(found[key], value) for key, value in expert.state_dict().items())
    assert all(not parameter.is_meta for parameter in loaded.parameters())


def test_a_file_that_is_no_expert_is_refused(tmp_path: Path, expert: Expert) -> None:
    path = tmp_path / "wrong.pth"
    torch.save(Wav2Lip(VARIANTS["compressed"]).state_dict(), path)
    with pytest.raises(SetupError, match="not a lip-sync expert: it has no face_encoder"):
        load_expert(path)
    state = dict(expert.state_dict())
    state["face_encoder.0.conv_block.0.weight"] = torch.zeros(9, 15, 7, 7)
    torch.save(state, path)
    with pytest.raises(SetupError, match=r"is \[9, 15, 7, 7\]"):
        load_expert(path)
    state["face_encoder.0.conv_block.0.weight"] = torch.zeros(16, 15, 7, 7)
    torch.save(state, path)
    with pytest.raises(SetupError, match=r"185 of another shape: audio_encoder\.0"):
        load_expert(path)
