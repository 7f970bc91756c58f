"""What went wrong where others took LatentSync to TensorRT, one test for each.

The public attempts deformed or discoloured faces, lost frames or were slower than they said. Each test here
holds the exported graphs, or the code around them, to what makes one such mistake impossible.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skimage.data import astronaut

from lipserve.contracts import MODELS, PROFILES, models
from lipserve.contracts.latentsync import WINDOW
from lipserve.errors import InputError, SetupError
from lipserve.latentsync import masks
from lipserve.latentsync.denoise import denoise
from lipserve.latentsync.schedulers import Step, schedule
from lipserve.latentsync.windows import plan
from lipserve_export.engines.build import check_precision
from lipserve_export.engines.tensorrt import build
from lipserve_export.latentsync import unet3d, vae
from lipserve_export.latentsync.unet3d import UNet3D, random_unet
from lipserve_export.latentsync.vae import SCALE, random_vae
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.latentsync_generate import LatentSyncGenerate
from lipserve_server.repository.manifest import read_form
from lipserve_server.repository.pbtxt import config

pytestmark = pytest.mark.slow

SEED = 1247  # of the repository that tests share
Arrays = dict[str, NDArray[Any]]
Call = tuple[str, Arrays, Arrays]  # of a model: what went in and came out
NAMES = ("whisper_encoder", "vae_encoder", "vae_decoder", "denoise_step", "denoise_step_shallow")
NORMS = ("GroupNormalization", "LayerNormalization", "InstanceNormalization", "Softmax")


@dataclass(frozen=True)
class Networks:
    unet: UNet3D
    vae: AutoencoderKL


class Recorder:
    """The exported graphs on ONNX Runtime, and all that went in and came out."""

    def __init__(self, repository: Path) -> None:
        self._leaves = OnnxLeaves(repository)
        self.calls: list[Call] = []

    def __call__(self, model: str, inputs: Arrays, outputs: Sequence[str] | None = None) -> Arrays:
        made = self._leaves(model, inputs, outputs)
        self.calls.append((model, inputs, made))
        return made


def inputs_of(calls: list[Call], model: str) -> list[Arrays]:
    return [inputs for name, inputs, _ in calls if name == model]


@pytest.fixture(scope="module")
def recorder(exported_latentsync: Path) -> Recorder:
    return Recorder(exported_latentsync)


@dataclass(frozen=True)
class ShortClip:
    """Five frames, which are less than a window, through the generate stage in two steps."""

    made: NDArray[np.uint8]
    calls: list[Call]


@pytest.fixture(scope="module")
def short_clip(exported_latentsync: Path, recorder: Recorder) -> ShortClip:
    recorder.calls.clear()
    return generated(exported_latentsync, recorder)


def generated(repository: Path, recorder: Recorder) -> ShortClip:
    stage = LatentSyncGenerate(repository, recorder)
    made = stage(faces(5), speech(1), options=b'{"steps": 2, "seed": 3}')["FACES"]
    return ShortClip(made, list(recorder.calls))


@pytest.fixture(scope="module")
def networks() -> Networks:
    """What was exported, as it was before: in PyTorch."""
    return Networks(random_unet(unet3d.TINY, SEED), random_vae(vae.TINY, SEED))


@pytest.fixture(autouse=True)
def nothing_recorded(recorder: Recorder) -> None:
    recorder.calls.clear()


def graph_of(repository: Path, leaf: str, name: str = "model.onnx") -> onnx.ModelProto:
    return onnx.load(repository / leaf / "1" / name, load_external_data=False)


def step_inputs(repository: Path, seed: int, step: Step, guidance: float) -> Arrays:
    """One item of a denoising step: seeded noise where latents are, a mask with a hole."""
    source = np.random.default_rng(seed)
    contract = models(read_form(repository))["denoise_step"]
    values = {
        tensor.name: source.standard_normal((1, *tensor.dims)).astype(np.float32)
        for tensor in contract.inputs
    }
    values["MASK"] = np.ones_like(values["MASK"])
    values["MASK"][..., 12:28, 4:28] = 0
    values["TIMESTEP"][:] = step.timestep
    values["GUIDANCE"][:] = guidance
    values["COEFFICIENTS"][:] = step.coefficients
    return values


def conditioning(inputs: Arrays) -> Arrays:
    return {name: inputs[name] for name in ("MASK", "MASKED", "REFERENCE", "AUDIO")}


def faces(count: int) -> NDArray[np.uint8]:
    """Crops of a real face, each a little further on."""
    return np.stack([astronaut()[10 + 2 * i : 266 + 2 * i, 96:352] for i in range(count)])


def speech(seconds: float) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(5).standard_normal(int(16_000 * seconds))).astype(np.float32)


def close(found: NDArray[Any], expected: NDArray[Any], tolerance: float = 1e-4) -> None:
    assert float(np.abs(found - expected).max()) <= tolerance


def test_1_the_decoder_mixes_the_latents_channels_first(
    exported_latentsync: Path, recorder: Recorder, networks: Networks
) -> None:
    """`vae.decoder` was exported in place of `vae.decode`, which begins with the learnt post_quant_conv."""
    steps = schedule("ddim", 3)
    given = step_inputs(exported_latentsync, 1, steps[0], 1.5)
    latents = denoise(recorder, given["LATENTS"], conditioning(given), steps, 1.5, 1, lambda number: None)
    window = np.ascontiguousarray(latents[0].transpose(1, 0, 2, 3)[:2])  # UNet3D's own, not noise
    found = recorder("vae_decoder", {"LATENTS": window})["IMAGES"]
    with torch.no_grad():
        expected = networks.vae.decode(torch.from_numpy(window) / SCALE).sample.numpy()
        without = networks.vae.decoder(torch.from_numpy(window) / SCALE).numpy()
    close(found, expected, 1e-3)
    assert float(np.abs(found - without).mean()) > 0.02  # a mistake would be seen


def test_2_no_graph_draws_a_random_number(exported_latentsync: Path, recorder: Recorder) -> None:
    """The encoder's `latent_dist.sample()` was exported: unseeded noise, other than PyTorch's."""
    for leaf in NAMES:
        for name in ("model.onnx", "model.fp16.onnx"):
            graph = graph_of(exported_latentsync, leaf, name)
            bodies = [graph.graph, *graph.functions]
            kinds = {node.op_type for body in bodies for node in body.node}
            assert not [kind for kind in kinds if "Random" in kind or kind in ("Bernoulli", "Multinomial")]
            assert not kinds & {"If", "Loop", "Scan"}  # nothing hides in a graph within the graph
    images = masks.pixels(faces(2))
    noise = np.random.default_rng(2).standard_normal((2, 4, 32, 32)).astype(np.float32)
    mode = recorder("vae_encoder", {"IMAGES": images, "NOISE": np.zeros_like(noise)})
    drawn = recorder("vae_encoder", {"IMAGES": images, "NOISE": noise})
    mean, log_variance = np.split(mode["MOMENTS"], 2, axis=1)
    close(mode["LATENTS"], mean * SCALE)
    close(drawn["LATENTS"], (mean + np.exp(log_variance / 2) * noise) * SCALE)
    again = recorder("vae_encoder", {"IMAGES": images, "NOISE": noise})
    assert np.array_equal(drawn["LATENTS"], again["LATENTS"])


def test_3_norms_and_softmax_stay_in_single_precision(exported_latentsync: Path, tmp_path: Path) -> None:
    """A builder that was free to choose took half precision for the sums of a normalisation: overflow."""
    for leaf in NAMES:
        graph = onnx.shape_inference.infer_shapes(graph_of(exported_latentsync, leaf, "model.fp16.onnx"))
        types = {value.name: value.type.tensor_type.elem_type for value in graph.graph.value_info}
        found = Counter(
            (node.op_type, types[node.output[0]]) for node in graph.graph.node if node.op_type in NORMS
        )
        assert {dtype for _, dtype in found} == {TensorProto.FLOAT}
        assert any(node.op_type in ("Conv", "MatMul") for node in graph.graph.node)
    pytest.importorskip("tensorrt_rtx", reason="install lipserve[rtx]")
    # The gate that every engine passes through refuses the mistake where somebody makes it after all.
    path = tmp_path / "half.onnx"
    onnx.save(norm_in_half(), path)
    built = build("tensorrt_rtx", path, MODELS["vae_decoder"], "sm80")
    with pytest.raises(SetupError, match="norm is HALF"):
        check_precision(built, "fp16", MODELS["vae_decoder"])


def norm_in_half() -> onnx.ModelProto:
    """A graph with the decoder's input, and a GroupNormalization as weakly typed builders made it."""
    half, single = TensorProto.FLOAT16, TensorProto.FLOAT
    nodes = [
        helper.make_node("Cast", ["LATENTS"], ["x"], "cast", to=half),
        helper.make_node("GroupNormalization", ["x", "scale", "bias"], ["y"], "norm", num_groups=2),
        helper.make_node("Cast", ["y"], ["IMAGES"], "back", to=single),
    ]
    weights = [
        helper.make_tensor(name, half, [4], [value] * 4) for name, value in (("scale", 1), ("bias", 0))
    ]
    sides = [
        helper.make_tensor_value_info(name, single, ["batch", 4, 32, 32]) for name in ("LATENTS", "IMAGES")
    ]
    graph = helper.make_graph(nodes, "norm", sides[:1], sides[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_4_a_wrong_shape_is_refused_and_never_reshaped(exported_latentsync: Path, recorder: Recorder) -> None:
    """`reshape(expected)` took any array of the right size, and so reinterpreted memory."""
    given = step_inputs(exported_latentsync, 4, schedule("ddim", 20)[0], 1.5)
    for name in ("LATENTS", "MASK", "AUDIO"):
        turned = given[name].reshape(1, *given[name].shape[:0:-1])  # as many numbers, other axes
        with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument, match=name):
            recorder("denoise_step", {**given, name: turned})
    form = read_form(exported_latentsync)
    for leaf in NAMES:
        contract = models(form)[leaf]
        for values, wanted in (
            (graph_of(exported_latentsync, leaf).graph.input, contract.inputs),
            (graph_of(exported_latentsync, leaf).graph.output, contract.outputs),
        ):
            found = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in values}
            assert found == {tensor.name: [0, *tensor.dims] for tensor in wanted}  # 0: the free batch
    stage = LatentSyncGenerate(exported_latentsync, recorder)
    with pytest.raises(InputError, match=r"FACES has the shape \[2, 128, 512, 3\]"):
        stage(faces(2).reshape(2, 128, 512, 3), speech(1))


def test_5_nothing_of_one_half_of_guidance_reaches_the_other(
    exported_latentsync: Path, recorder: Recorder, networks: Networks, short_clip: ShortClip
) -> None:
    """A short window was padded behind [unconditional, conditional]: speech leaked into the half without."""
    step = schedule("ddim", 20)[3]
    given = step_inputs(exported_latentsync, 5, step, 0.0)
    other = {**given, "AUDIO": given["AUDIO"][:, ::-1].copy()}
    deaf = recorder("denoise_step", given, ("X0",))["X0"]
    assert np.array_equal(deaf, recorder("denoise_step", other, ("X0",))["X0"])
    heard = recorder("denoise_step", {**given, "GUIDANCE": np.ones((1, 1), np.float32)}, ("X0",))["X0"]
    unet, sample = (
        networks.unet,
        np.concatenate([given[name] for name in ("LATENTS", "MASK", "MASKED", "REFERENCE")], axis=1),
    )
    for found, audio in ((deaf, np.zeros_like(given["AUDIO"])), (heard, given["AUDIO"])):
        with torch.no_grad():
            noise = unet(
                *map(torch.from_numpy, (sample, np.array([step.timestep], np.float32), audio))
            ).numpy()
        expected = step.coefficients[0] * given["LATENTS"] + step.coefficients[1] * noise
        close(found / np.abs(expected).max(), expected / np.abs(expected).max())
    # A short clip fills its one window with its last frame, in pictures, noise and speech alike.
    assert short_clip.made.shape == (5, 256, 256, 3)
    seen = inputs_of(short_clip.calls, "denoise_step")[0]
    for name, axis in (("MASKED", 2), ("REFERENCE", 2), ("AUDIO", 1)):
        frames = np.moveaxis(seen[name][0], axis - 1, 0)
        assert len(frames) == WINDOW
        assert (frames[4:] == frames[4]).all()
        assert not (frames[3] == frames[4]).all()


def test_6_no_frame_is_lost_at_the_tail(exported_latentsync: Path, recorder: Recorder) -> None:
    """`num_inferences -= 1` avoided the short window, and with it up to 16 frames."""
    for count in range(1, 260):
        frames = np.arange(count, dtype=np.int32)
        windows = plan(frames, np.zeros_like(frames), 0, count)
        kept = np.concatenate([window.kept for window in windows])
        assert sorted(kept[:, 1]) == list(range(count))
        for window in windows:
            assert (window.frames[window.kept[:, 0]] == window.kept[:, 1]).all()
    stage = LatentSyncGenerate(exported_latentsync, recorder)
    crops = faces(19)
    made = stage(crops, speech(1), options=b'{"steps": 1}')["FACES"]
    keep = masks.mask(256) == 255
    assert len(made) == len(crops)
    for produced, crop in zip(made, crops, strict=True):
        assert np.array_equal(produced[keep], crop[keep])  # its own picture around the mouth
        assert not np.array_equal(produced[~keep], crop[~keep])


def test_7_timesteps_are_floats_of_each_item(exported_latentsync: Path, recorder: Recorder) -> None:
    """The timestep was an int64 scalar in the graph and of rank 1 in the profile."""
    ddim, dpm = schedule("ddim", 20)[2], schedule("dpm++", 10)[6]
    one = step_inputs(exported_latentsync, 7, ddim, 1.5)
    two = step_inputs(exported_latentsync, 8, dpm, 3.0)
    assert one["TIMESTEP"] != two["TIMESTEP"]
    together = recorder("denoise_step", {name: np.concatenate([one[name], two[name]]) for name in one})
    for row, item in enumerate((one, two)):
        alone = recorder("denoise_step", item)
        for name, value in alone.items():
            close(together[name][row] / np.abs(value).max(), value[0] / np.abs(value).max())
    moved = recorder("denoise_step", {**one, "TIMESTEP": two["TIMESTEP"]}, ("X0",))["X0"]
    assert float(np.abs(moved - together["X0"][:1]).max()) > 0.1
    refused = ort.capi.onnxruntime_pybind11_state.InvalidArgument
    with pytest.raises(refused, match="Unexpected input data type"):
        recorder("denoise_step", {**one, "TIMESTEP": one["TIMESTEP"].astype(np.int64)})
    for wrong in (one["TIMESTEP"][0], np.full((), 21, np.float32)):
        with pytest.raises(refused, match="TIMESTEP"):
            recorder("denoise_step", {**one, "TIMESTEP": wrong})


def test_8_an_engine_changes_the_leaves_and_nothing_around_them(
    exported_latentsync: Path, short_clip: ShortClip, tmp_path: Path
) -> None:
    """Crops, paste and batching were rewritten along with the engine: nobody could tell what blurred."""
    for model in MODELS.values():
        if model.kind != "leaf":
            texts = {config(model, profile) for profile in PROFILES}
            differing = {line for text in texts for line in text.splitlines()}
            differing -= set.intersection(*(set(text.splitlines()) for text in texts))
            assert all(line.startswith("instance_group { kind: KIND_CPU count: ") for line in differing)
    for leaf in NAMES:  # the form that engines are built of, served in the other's place
        shutil.copytree(exported_latentsync / leaf, tmp_path / leaf)
        (tmp_path / leaf / "1" / "model.fp16.onnx").replace(tmp_path / leaf / "1" / "model.onnx")
    half = generated(tmp_path, Recorder(tmp_path))
    assert [name for name, _, _ in half.calls] == [name for name, _, _ in short_clip.calls]
    for leaf, names in (
        ("whisper_encoder", ["MEL"]),
        ("vae_encoder", ["IMAGES", "NOISE"]),
        ("denoise_step", ["MASK", "TIMESTEP", "GUIDANCE", "COEFFICIENTS"]),
    ):
        both = (inputs_of(clip.calls, leaf) for clip in (short_clip, half))
        for here, there in zip(*both, strict=True):
            for name in names:
                assert np.array_equal(here[name], there[name])
    keep = masks.mask(256) == 255
    assert np.array_equal(half.made[:, keep], short_clip.made[:, keep])
    error = np.mean((half.made.astype(np.float64) - short_clip.made) ** 2)
    assert 10 * np.log10(255**2 / error) > 35


def test_9_deepcache_is_two_engines_and_the_reference_schedule(
    exported_latentsync: Path, recorder: Recorder, networks: Networks
) -> None:
    """An engine of the whole network was held to be incompatible with DeepCache, which runs a part of it."""
    steps = schedule("ddim", 3)
    given = step_inputs(exported_latentsync, 9, steps[0], 1.5)
    found = denoise(recorder, given["LATENTS"], conditioning(given), steps, 1.5, 2, lambda number: None)
    assert [name for name, _, _ in recorder.calls] == [
        "denoise_step", "denoise_step_shallow", "denoise_step"
    ]  # fmt: skip
    first, shallow = (recorder.calls[number][2]["NEXT_LATENTS"] for number in (0, 1))
    expected = reference_loop(networks.unet, given, steps, guidance=1.5, interval=2)
    close(found / np.abs(expected).max(), expected / np.abs(expected).max())
    # It is an approximation: a loop that computes every step whole, or caches another layer, is told apart.
    whole = denoise(recorder, first, conditioning(given), steps[1:2], 1.5, 1, lambda number: None)
    assert float(np.abs(shallow - whole).max()) > 1e-2


def reference_loop(
    unet: UNet3D, given: Arrays, steps: Sequence[Step], guidance: float, interval: int
) -> NDArray[np.float32]:
    """Guidance, DDIM and DeepCache's branch 0 in plain PyTorch, the features taken by a hook."""
    latents, mask, masked, reference, audio = (
        torch.from_numpy(given[name]) for name in ("LATENTS", "MASK", "MASKED", "REFERENCE", "AUDIO")
    )
    kept: dict[str, torch.Tensor] = {}
    hook = (
        unet.up_blocks[-1]
        .motion_modules[-2]
        .register_forward_hook(lambda module, inputs, output: kept.setdefault("features", output))
    )
    for number, step in enumerate(steps):
        if number % interval == 0:
            kept.clear()
        sample = torch.cat((latents, mask, masked, reference), dim=1)
        with torch.no_grad():
            noise = unet(
                torch.cat((sample, sample)),
                torch.full((2,), step.timestep),
                torch.cat((torch.zeros_like(audio), audio)),
            )
        guided = noise[:1] + guidance * (noise[1:] - noise[:1])
        to_x0, of_noise, a, b, _ = step.coefficients.tolist()
        latents = a * latents + b * (to_x0 * latents + of_noise * guided)
    hook.remove()
    return latents.numpy()
