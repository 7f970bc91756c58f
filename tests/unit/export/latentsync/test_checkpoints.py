from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from lipserve.errors import SetupError
from lipserve_export.graphs.whisper import random_whisper
from lipserve_export.latentsync import vae
from lipserve_export.latentsync.checkpoints import load_unet, load_vae, load_whisper
from lipserve_export.latentsync.unet3d import FULL, TINY, Motion, UNet3D, random_unet
from lipserve_export.latentsync.vae import random_vae
from lipserve_export.wav2lip.generator import random_generator
from lipserve_export.wav2lip.network import VARIANTS

State = dict[str, Tensor]
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.fixture(scope="module")
def unet() -> UNet3D:
    return random_unet(TINY, 3)


def check_same(loaded: nn.Module, saved: nn.Module) -> None:
    assert not loaded.training
    expected, found = saved.state_dict(), loaded.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert all(value.dtype == torch.float32 for value in found.values())


def hollow(network: nn.Module) -> State:
    """A state dict of the network's names and shapes that takes no room: every tensor is one zero."""
    return {key: torch.zeros(()).expand(value.shape) for key, value in network.state_dict().items()}


def full_width() -> State:
    with torch.device("meta"):
        network = UNet3D(FULL)
    return hollow(network)


def refusal(load: Callable[[Path], object], state: object, folder: Path) -> str:
    """What a loader says of a file, promptly."""
    path = folder / "given.pt"
    torch.save(state, path)
    started = time.process_time()
    with pytest.raises(SetupError) as caught:
        load(path)
    assert time.process_time() - started < 2  # of its own: a test beside it may hold the other core
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("form", ["published", "bare", "module.", "safetensors"])
def test_every_published_form_of_a_unet_loads(tmp_path: Path, unet: UNet3D, form: str) -> None:
    path, state = tmp_path / "unet.pt", unet.state_dict()
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    elif form == "published":
        torch.save({"global_step": 10_000, "state_dict": state}, path)
    else:
        torch.save({form.replace("bare", "") + key: value for key, value in state.items()}, path)
    loaded, digest = load_unet(path)
    check_same(loaded, unet)
    assert loaded.config == TINY
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("motion", ["all", "decoder", "none"])
def test_the_variant_is_seen_in_the_keys(tmp_path: Path, motion: Motion) -> None:
    saved = random_unet(dataclasses.replace(TINY, motion=motion), 4)
    torch.save(saved.state_dict(), tmp_path / "unet.pt")
    loaded, _ = load_unet(tmp_path / "unet.pt")
    assert loaded.config.motion == motion
    check_same(loaded, saved)


def test_half_precision_becomes_single(tmp_path: Path, unet: UNet3D) -> None:
    torch.save({key: value.half() for key, value in unet.state_dict().items()}, tmp_path / "unet.pt")
    loaded, _ = load_unet(tmp_path / "unet.pt")
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}


@pytest.mark.slow
def test_the_full_width_loads(tmp_path: Path) -> None:
    torch.save({"global_step": 1, "state_dict": full_width()}, tmp_path / "unet.pt")
    loaded, _ = load_unet(tmp_path / "unet.pt")
    assert loaded.config == FULL
    assert len(loaded.state_dict()) == 1246


def test_a_full_checkpoint_that_does_not_fit_is_refused_at_once_by_key(tmp_path: Path) -> None:
    state = full_width()
    del state["mid_block.resnets.1.conv2.bias"]
    del state["down_blocks.3.motion_modules.0.temporal_transformer.norm.weight"]
    state["syncnet.weight"] = torch.zeros(3)
    state["conv_out.weight"] = torch.zeros(13, 320, 3, 3)
    text = refusal(load_unet, state, tmp_path)
    assert "mid_block.resnets.1.conv2.bias" in text
    assert "2 missing: down_blocks.3.motion_modules.0.temporal_transformer.norm.weight" in text
    assert "1 unexpected: syncnet.weight" in text
    assert "conv_out.weight [13, 320, 3, 3], expected [4, 320, 3, 3]" in text


def test_a_unet_of_the_wrong_width_is_refused(tmp_path: Path) -> None:
    widths = dataclasses.replace(FULL, block_out_channels=(160, 320, 640, 640))
    with torch.device("meta"):
        narrow = UNet3D(widths)
    text = refusal(load_unet, {"state_dict": hollow(narrow)}, tmp_path)
    assert "wrong width: its levels have (160, 320, 640, 640) channels" in text
    louder = hollow(narrow)
    attends = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    louder[attends] = torch.zeros(160, 768)
    assert f"{attends} is [160, 768], expected [any, 384]" in refusal(load_unet, louder, tmp_path)


def test_other_networks_are_no_unet(tmp_path: Path) -> None:
    painting = {"conv_in.weight": torch.zeros(320, 9, 3, 3)}  # Stable Diffusion's for inpainting
    text = refusal(load_unet, painting, tmp_path)
    assert "conv_in.weight is [320, 9, 3, 3], expected [any, 13, 3, 3]" in text
    generator = random_generator(VARIANTS["compressed"], 1).state_dict()
    for load in (load_unet, load_vae, load_whisper):
        assert "it has no " in refusal(load, generator, tmp_path)


def test_values_that_are_not_finite_are_refused(tmp_path: Path, unet: UNet3D) -> None:
    state = {key: value.clone() for key, value in unet.state_dict().items()}
    state["conv_out.bias"][2] = float("inf")
    assert "1 not finite: conv_out.bias" in refusal(load_unet, state, tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x10\0\0\0\0\0\0\0{not a header....."])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "unet.safetensors"
    path.write_bytes(content)
    with pytest.raises(SetupError, match="not a PyTorch checkpoint, or is damaged"):
        load_unet(path)
    with pytest.raises(SetupError, match="No such file"):
        load_unet(tmp_path / "absent.pt")


@pytest.mark.parametrize("form", ["today", "before", "safetensors"])
def test_checkpoints_of_both_generations_of_the_vae_load(tmp_path: Path, form: str) -> None:
    saved = random_vae(vae.TINY, 5)
    state, path = dict(saved.state_dict()), tmp_path / "vae.bin"
    attention = [key for key in state if ".mid_block.attentions.0.to_" in key]
    assert len(attention) == 2 * 4 * 2  # both halves; q, k, v and out; weight and bias
    if form == "before":
        for key in attention:
            new = key.split(".attentions.0.")[1].rpartition(".")[0]
            state[key.replace(new, OLD_NAMES[new])] = state.pop(key)
    if form == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    loaded, digest = load_vae(path)
    check_same(loaded, saved)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    latents = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded.decode(latents).sample, saved.decode(latents).sample)


def test_the_published_vae_is_the_full_one(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = vae.FULL.build()
    assert sum(value.numel() for value in network.parameters()) == 83_653_863
    torch.save(hollow(network), tmp_path / "vae.bin")
    loaded, _ = load_vae(tmp_path / "vae.bin")
    assert tuple(loaded.config.block_out_channels) == vae.FULL.block_out_channels
    state = hollow(network)
    state["encoder.conv_in.weight"] = torch.zeros(128, 4, 3, 3)
    assert "expected [any, 3, 3, 3]" in refusal(load_vae, state, tmp_path)
    del state["encoder.conv_in.weight"], state["post_quant_conv.bias"]
    state["encoder.conv_in.weight"] = torch.zeros(128, 3, 3, 3)
    assert "1 missing: post_quant_conv.bias" in refusal(load_vae, state, tmp_path)


def whisper_file(encoder: nn.Module, path: Path, **others: Tensor) -> None:
    state = {f"encoder.{key}": value.half() for key, value in encoder.state_dict().items()}
    extra = {"encoder.ln_post.weight": torch.ones(384), "decoder.ln.weight": torch.ones(384), **others}
    torch.save({"dims": {"n_mels": 80, "n_audio_state": 384}, "model_state_dict": state | extra}, path)


def test_whisper_s_encoder_loads_from_openai_s_file(tmp_path: Path) -> None:
    saved, path = random_whisper(6), tmp_path / "tiny.pt"
    whisper_file(saved, path)
    loaded, _ = load_whisper(path)
    check_same(loaded, saved.half().float())
    whisper_file(saved, path, **{"encoder.blocks.4.attn_ln.bias": torch.zeros(384)})
    with pytest.raises(SetupError, match=r"1 unexpected: blocks\.4\.attn_ln\.bias"):
        load_whisper(path)
    whisper_file(saved, path, **{"encoder.conv1.weight": torch.zeros(512, 80, 3)})
    with pytest.raises(SetupError, match=r"conv1\.weight is \[512, 80, 3\], expected \[384, 80, 3\]"):
        load_whisper(path)


def test_the_real_tiny_encoder_loads(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    with np.load(shared_data("models/whisper_tiny_en_encoder.npz")) as file:
        state = {key: torch.from_numpy(file[key]) for key in file.files}
    torch.save({"dims": {}, "model_state_dict": state}, tmp_path / "tiny.pt")
    loaded, _ = load_whisper(tmp_path / "tiny.pt")
    found = loaded.state_dict()
    assert len(found) == 67 - 2
    assert all(torch.equal(value, state[f"encoder.{key}"]) for key, value in found.items())
