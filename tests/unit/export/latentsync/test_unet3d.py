from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from lipserve_export.latentsync.attention import Attention
from lipserve_export.latentsync.motion import MotionModule
from lipserve_export.latentsync.resnet import ResnetBlock, folded
from lipserve_export.latentsync.unet3d import FULL, TINY, Motion, UNet3D, UNet3DConfig, random_unet

# Of the published configurations: parameters, keys, buffers among them.
COUNTS: dict[Motion, tuple[int, int, int]] = {
    "all": (1_267_099_844, 1246, 40),
    "decoder": (1_100_244_804, 1022, 24),
    "none": (849_962_244, 686, 0),
}
BLOCKS = {
    "conv_in": 37_760,
    "time_embedding": 2_050_560,
    "down_blocks.0": 14_552_000,
    "down_blocks.1": 53_884_800,
    "down_blocks.2": 210_169_600,
    "down_blocks.3": 134_420_480,
    "mid_block": 96_055_040,
    "up_blocks.0": 270_456_320,
    "up_blocks.1": 363_596_800,
    "up_blocks.2": 97_012_480,
    "up_blocks.3": 24_851_840,
    "conv_norm_out": 640,
    "conv_out": 11_524,
}
LAST_MOTION = "up_blocks.3.motion_modules.2.temporal_transformer.transformer_blocks.0"
SHAPES = {
    "conv_in.weight": (320, 13, 3, 3),
    "time_embedding.linear_1.weight": (1280, 320),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight": (320, 320),
    "down_blocks.2.downsamplers.0.conv.weight": (1280, 1280, 3, 3),
    "down_blocks.3.motion_modules.1.temporal_transformer.norm.weight": (1280,),
    "mid_block.attentions.0.proj_in.weight": (1280, 1280, 1, 1),
    "mid_block.resnets.1.time_emb_proj.weight": (1280, 1280),
    "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_k.weight": (1280, 384),
    "up_blocks.1.resnets.2.conv_shortcut.weight": (1280, 1920, 1, 1),
    "up_blocks.2.attentions.0.transformer_blocks.0.ff.net.0.proj.weight": (5120, 640),
    "up_blocks.2.attentions.0.transformer_blocks.0.ff.net.2.weight": (640, 2560),
    "up_blocks.2.attentions.0.transformer_blocks.0.attn1.to_out.0.bias": (640,),
    "up_blocks.3.resnets.0.norm1.weight": (960,),
    f"{LAST_MOTION}.attention_blocks.1.pos_encoder.pe": (1, 24, 320),
    f"{LAST_MOTION}.norms.1.bias": (320,),
    f"{LAST_MOTION}.ff_norm.weight": (320,),
    "up_blocks.3.motion_modules.2.temporal_transformer.proj_out.weight": (320, 320),
}  # fmt: skip
STILL = dataclasses.replace(TINY, motion="none")


def on_meta(config: UNet3DConfig) -> UNet3D:
    with torch.device("meta"):
        return UNet3D(config)


def parameters(module: nn.Module, part: str = "") -> int:
    return sum(value.numel() for name, value in module.named_parameters() if part in name)


def window(batch: int = 1, frames: int = 16, grid: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    sample = torch.randn(batch, 13, frames, grid, grid, generator=source)
    audio = torch.randn(batch, frames, 50, 384, generator=source)
    return sample, torch.linspace(951.0, 1.0, batch), audio


def drawn_again(module: nn.Module) -> nn.Module:
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in module.parameters():
            value.normal_(generator=source).mul_(0.3)
    return module.eval()


@pytest.fixture(scope="module")
def unet() -> UNet3D:
    return random_unet(TINY, 1).requires_grad_(False)


@pytest.mark.parametrize("motion", COUNTS)
def test_the_public_checkpoints_sizes(motion: Motion) -> None:
    model = on_meta(UNet3DConfig(motion=motion))
    state = model.state_dict()
    buffers = [key for key in state if key.endswith(".pos_encoder.pe")]
    assert (parameters(model), len(state), len(buffers)) == COUNTS[motion]
    assert dict(model.named_buffers()).keys() == set(buffers)


def test_the_full_width_s_blocks_and_keys() -> None:
    model = on_meta(FULL)
    assert {name: parameters(model.get_submodule(name)) for name in BLOCKS} == BLOCKS
    assert parameters(model, ".motion_modules.") == 417_137_600
    assert parameters(model, ".attentions.") == 257_654_720
    assert parameters(model, ".attn2.") == 34_377_920
    state = model.state_dict()
    assert {key: tuple(state[key].shape) for key in SHAPES} == SHAPES


@pytest.mark.parametrize(
    ("grid", "whole", "last"),
    [(32, 4050.5, 263), pytest.param(64, 17625.7, 1310, marks=pytest.mark.whole)],
)
def test_the_work_of_a_step_is_the_specification_s(grid: int, whole: float, last: float) -> None:
    model = on_meta(FULL)
    with torch.device("meta"):
        inputs = (torch.empty(1, 13, 16, grid, grid), torch.empty(1), torch.empty(1, 16, 50, 384))
    with FlopCounterMode(display=False) as counter:
        noise, features = model.with_features(*inputs)
    assert counter.get_total_flops() / 1e9 == pytest.approx(whole, abs=0.05)
    assert noise.shape == (1, 4, 16, grid, grid)
    assert features.shape == (1, 320, 16, grid, grid)
    with FlopCounterMode(display=False) as counter:
        assert model.shallow(*inputs, features).shape == noise.shape
    assert counter.get_total_flops() / 1e9 == pytest.approx(last, abs=0.5)


def test_one_frame_without_motion_is_the_plain_unet_of_diffusers() -> None:
    model = random_unet(STILL, 4)
    crossed, plain = ("CrossAttnDownBlock2D",) * 3, ("CrossAttnUpBlock2D",) * 3
    theirs = UNet2DConditionModel(
        in_channels=13,
        out_channels=4,
        block_out_channels=TINY.block_out_channels,
        down_block_types=(*crossed, "DownBlock2D"),
        up_block_types=("UpBlock2D", *plain),
        cross_attention_dim=384,
        attention_head_dim=TINY.heads,
        norm_num_groups=TINY.groups,
        layers_per_block=TINY.layers_per_block,
    )
    theirs.load_state_dict(model.state_dict(), strict=True)
    sample, timestep, audio = window(batch=3, frames=1)
    with torch.no_grad():
        expected = theirs.eval()(sample[:, :, 0], timestep, audio[:, 0]).sample
        found = model(sample, timestep, audio)[:, :, 0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert 0.7 < found.std() < 1.4


def test_a_motion_module_is_that_of_animatediff() -> None:
    ours = drawn_again(MotionModule(32, heads=4, groups=8, positions=24))
    theirs = AnimateDiffTransformer3D(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=32,
        norm_num_groups=8,
        activation_fn="geglu",
        positional_embeddings="sinusoidal",
        num_positional_embeddings=24,
    )
    renamed = {"attention_blocks.0": "attn1", "attention_blocks.1": "attn2", "norms.0": "norm1"}
    renamed |= {"norms.1": "norm2", "ff_norm": "norm3", "temporal_transformer.": ""}
    state = {}
    for key, value in ours.state_dict().items():
        for old, new in renamed.items():
            key = key.replace(old, new)
        state[key] = value
    positions = {key for key in state if key.endswith("pos_encoder.pe")}
    tables = [state.pop(key) for key in positions]
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["transformer_blocks.0.pos_embed.pe"], [])
    for table in tables:
        torch.testing.assert_close(table, theirs.transformer_blocks[0].pos_embed.pe, rtol=0, atol=1e-6)
    theirs.norm = nn.Identity()  # theirs is over all frames, AnimateDiff's own and LatentSync's over one
    x = torch.randn(2 * 16, 32, 4, 6, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        norm = ours.temporal_transformer.norm
        normalised = functional.group_norm(x, 8, norm.weight, norm.bias, 1e-6)
        added = theirs.eval()(normalised, num_frames=16) - normalised
        torch.testing.assert_close(ours(x, 16), x + added, rtol=0, atol=1e-5)


def test_a_residual_block_takes_its_statistics_over_all_frames() -> None:
    block = drawn_again(ResnetBlock(8, 16, embedding=12, groups=4))
    source = torch.Generator().manual_seed(6)
    x = torch.randn(2, 8, 5, 4, 6, generator=source)
    x += 3 * torch.randn(2, 8, 5, 1, 1, generator=source)  # frames differ, so that it matters
    embedding = torch.randn(2, 12, generator=source)

    def normalised(y: Tensor, norm: nn.GroupNorm) -> Tensor:
        grouped = y.reshape(2, 4, -1)
        scaled = (grouped - grouped.mean(2, True)) / (
            grouped.var(2, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        shape = (1, -1, 1, 1, 1)
        y = scaled.reshape(y.shape) * norm.weight.reshape(shape) + norm.bias.reshape(shape)
        return y * y.sigmoid()

    def convolved(y: Tensor, conv: nn.Conv2d) -> Tensor:
        padding = (0, *conv.padding)
        return functional.conv3d(y, conv.weight[:, :, None], conv.bias, padding=padding)

    with torch.no_grad():
        y = convolved(normalised(x, block.norm1), block.conv1)
        y = y + block.time_emb_proj(embedding * embedding.sigmoid())[:, :, None, None, None]
        expected = convolved(x, block.conv_shortcut) + convolved(normalised(y, block.norm2), block.conv2)
        torch.testing.assert_close(block(folded(x), embedding, 5), folded(expected), rtol=0, atol=1e-5)


def test_the_last_frame_reaches_the_first_without_temporal_layers() -> None:
    sample, timestep, audio = window()
    model = random_unet(STILL, 1).requires_grad_(False)
    before = model(sample, timestep, audio)
    sample[:, :, 15] += 2.0
    difference = (model(sample, timestep, audio) - before)[:, :, 0].abs().mean()
    assert difference > 0.02 * before.abs().mean()


def test_every_layer_of_random_weights_counts(unet: UNet3D) -> None:
    inputs = window(frames=2)
    before = unet(*inputs)
    kinds = (".motion_modules", ".attentions", "resnets")
    layers = [name for name, _ in unet.named_modules() if name.rpartition(".")[0].endswith(kinds)]
    assert len(layers) == 12 + 10 + 14
    differences = {}
    for name in layers:
        layer = unet.get_submodule(name)
        handle = layer.register_forward_hook(lambda _module, _inputs, output: output.flip(0))
        differences[name] = float((unet(*inputs) - before).std())
        handle.remove()
    assert min(differences.values()) > 0.01, differences  # a hundred times what parity allows
    assert 0.7 < before.std() < 1.4


def test_no_audio_leaves_the_last_bias_of_the_attention_to_it(unet: UNet3D) -> None:
    seen: list[str] = []

    def check(name: str, module: Attention, output: Tensor) -> None:
        expected = module.to_out[0].bias.expand_as(output)
        assert torch.equal(output, expected), name
        seen.append(name)

    handles = [
        module.register_forward_hook(lambda module, _inputs, output, name=name: check(name, module, output))
        for name, module in unet.named_modules()
        if name.endswith(".attn2")
    ]
    sample, timestep, audio = window()
    unet(sample, timestep, torch.zeros_like(audio))
    for handle in handles:
        handle.remove()
    assert len(seen) == 10


def test_audio_is_heard_by_its_own_frame_of_its_own_item(unet: UNet3D) -> None:
    heard: list[Tensor] = []
    first = unet.get_submodule("down_blocks.0.attentions.0.transformer_blocks.0.attn2")
    handle = first.register_forward_hook(lambda _module, _inputs, output: heard.append(output))
    sample, timestep, audio = window(batch=2)
    unet(sample, timestep, audio)
    audio[1, 3] += 1.0
    unet(sample, timestep, audio)
    handle.remove()
    changed = (heard[0] - heard[1]).abs().amax(dim=(1, 2)) > 0
    assert changed.nonzero().flatten().tolist() == [16 + 3]


def test_items_of_a_batch_do_not_see_each_other(unet: UNet3D) -> None:
    sample, timestep, audio = window(batch=2)
    both = unet(sample, timestep, audio)
    for item in (0, 1):
        alone = unet(sample[item : item + 1], timestep[item : item + 1], audio[item : item + 1])
        torch.testing.assert_close(both[item : item + 1], alone, rtol=0, atol=1e-5)


def test_frames_beyond_the_positional_table_are_refused(unet: UNet3D) -> None:
    assert unet(*window(frames=24)).shape[2] == 24
    with pytest.raises(ValueError, match="25 frames in a window: the motion modules tell 24 apart"):
        unet(*window(frames=25))


def test_the_cached_features_give_the_same_noise_at_the_same_step(unet: UNet3D) -> None:
    inputs = window(batch=2)
    noise, features = unet.with_features(*inputs)
    assert torch.equal(unet.shallow(*inputs, features), noise)
    assert torch.equal(unet(*inputs), noise)
    sample, timestep, audio = inputs
    later = unet.shallow(sample + 0.5, timestep - 1, audio, features)
    assert (later - noise).std() > 0.05  # what is new at a step still reaches it


def test_a_seed_decides_the_random_weights() -> None:
    states = [random_unet(TINY, seed).state_dict() for seed in (7, 7, 8)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["conv_in.weight"], states[2]["conv_in.weight"])
    weak = [key for key, value in states[0].items() if value.abs().mean() < 0.02]
    assert weak == []
