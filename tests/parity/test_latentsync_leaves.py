"""The quality tier's exported leaves, at reduced width, against the PyTorch modules that they are of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime import InferenceSession
from torch import nn

from lipserve.contracts import Model, leaves
from lipserve_export.graphs import manifest
from lipserve_export.graphs.parity import (
    Arrays,
    difference,
    differences,
    of_graph,
    of_module,
    plausible_inputs,
)
from lipserve_export.graphs.rounding import rounded
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.whisper import random_whisper
from lipserve_export.latentsync import unet3d, vae
from lipserve_export.latentsync.denoise import DenoiseStep, DenoiseStepShallow
from lipserve_export.latentsync.unet3d import random_unet
from lipserve_export.latentsync.vae import SCALE, VaeDecoder, VaeEncoder, random_vae

SEED = 1247  # of the repository that the fixture gives
NAMES = ("whisper_encoder", "vae_encoder", "vae_decoder", "denoise_step", "denoise_step_shallow")
NORMS = ("GroupNormalization", "LayerNormalization", "Softmax")
PRODUCTS = ("Conv", "Gemm", "MatMul")


@pytest.fixture(scope="module")
def modules() -> dict[str, nn.Module]:
    autoencoder, unet = random_vae(vae.TINY, SEED), random_unet(unet3d.TINY, SEED)
    return {
        "whisper_encoder": random_whisper(SEED),
        "vae_encoder": VaeEncoder(autoencoder),
        "vae_decoder": VaeDecoder(autoencoder),
        "denoise_step": DenoiseStep(unet),
        "denoise_step_shallow": DenoiseStepShallow(unet),
    }


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def folder(exported_latentsync: Path, name: str) -> Path:
    return manifest.folder(exported_latentsync, name)


@pytest.fixture(scope="module")
def contracts(exported_latentsync: Path) -> dict[str, Model]:
    form = manifest.read(exported_latentsync, "denoise_step").form
    return {model.name: model for model in leaves(form)}


@pytest.fixture(scope="module")
def running(folder: Path) -> InferenceSession:
    return session(folder / "model.onnx")


@pytest.fixture(scope="module")
def half(folder: Path) -> ir.Model:
    return ir.external_data.load_to_model(ir.load(folder / "model.fp16.onnx"))


def inputs(modules: dict[str, nn.Module], contracts: dict[str, Model], name: str, batch: int) -> Arrays:
    """Return seeded inputs; the decoder's are latents that the encoder gave, not noise."""
    if name != "vae_decoder":
        return plausible_inputs(contracts[name], batch, seed=batch)
    encoder = contracts["vae_encoder"]
    made = of_module(modules["vae_encoder"], encoder, plausible_inputs(encoder, batch, seed=batch))
    return {"LATENTS": made["LATENTS"]}


@pytest.mark.parametrize(
    ("name", "batch"),  # unlike the two halves of guidance, and alone
    [
        # The shallow part of the network has the modules of the whole one.
        *(pytest.param(name, 3, marks=pytest.mark.whole if name == "denoise_step" else []) for name in NAMES),
        *(pytest.param(name, 1, marks=[] if name == "denoise_step" else pytest.mark.whole) for name in NAMES),
    ],
    indirect=["name"],
)
def test_the_graph_computes_what_the_module_does(
    running: InferenceSession,
    modules: dict[str, nn.Module],
    contracts: dict[str, Model],
    name: str,
    batch: int,
) -> None:
    given = inputs(modules, contracts, name, batch)
    expected = of_module(modules[name], contracts[name], given)
    found = run(running, given)
    assert list(found) == list(expected)
    for output, array in expected.items():
        assert array.std() > 0.1  # there is something to compare
        np.testing.assert_allclose(found[output], array, rtol=0, atol=1e-4)


def test_half_precision_is_close(
    running: InferenceSession,
    half: ir.Model,
    modules: dict[str, nn.Module],
    contracts: dict[str, Model],
    name: str,
) -> None:
    given = inputs(modules, contracts, name, 1)
    for found in differences(of_graph(rounded(half), given), run(running, given)).values():
        assert found.cosine >= 0.9999
        assert 0 < found.relative_rms <= 1e-2


def test_precision_is_in_the_graph(half: ir.Model, name: str) -> None:
    types = Counter((node.op_type, node.outputs[0].dtype) for node in half.graph)
    for kind in NORMS:
        assert not types[kind, ir.DataType.FLOAT16]
    assert sum(types[kind, ir.DataType.FLOAT] for kind in NORMS) > 5
    full = [
        node for node in half.graph if node.op_type in PRODUCTS and node.outputs[0].dtype == ir.DataType.FLOAT
    ]
    assert all(str(node.name).startswith("unet/time_embedding/") for node in full)
    assert len(full) == (2 if name.startswith("denoise") else 0)
    assert sum(types[kind, ir.DataType.FLOAT16] for kind in PRODUCTS) > 10
    for node in half.graph:
        if str(node.name).startswith("unet/time_embedding/") or node.op_type in ("Sin", "Cos", "Exp"):
            assert node.outputs[0].dtype == ir.DataType.FLOAT


def test_a_value_crosses_the_border_of_precisions_once(half: ir.Model) -> None:
    casts = [node for node in half.graph if node.op_type == "Cast"]
    sources = Counter(str(node.inputs[0].name) for node in casts if node.inputs[0])
    assert len(casts) > 10
    assert set(sources.values()) == {1}
    again = [node for node in casts if any(before.op_type == "Cast" for before in node.predecessors())]
    assert not again


@pytest.mark.parametrize("file", ["model.onnx", "model.fp16.onnx"])
def test_a_graph_is_valid_takes_any_batch_and_tells_nothing_of_its_maker(
    folder: Path, contracts: dict[str, Model], name: str, file: str
) -> None:
    onnx.checker.check_model(folder / file, full_check=True)
    model = ir.load(folder / file)
    assert model.opset_imports[""] == 21
    for values, wanted in (
        (model.graph.inputs, contracts[name].inputs),
        (model.graph.outputs, contracts[name].outputs),
    ):
        sizes = [",".join(map(str, ("batch", *tensor.dims))) for tensor in wanted]
        assert [str(value.shape) for value in values] == [f"[{size}]" for size in sizes]
    data = (folder / file).read_bytes()
    assert b"site-packages" not in data
    assert str(Path(__file__).parents[2]).encode() not in data


def test_nothing_is_drawn_inside_a_graph(half: ir.Model) -> None:
    assert not [
        node.op_type for node in half.graph if "Random" in node.op_type or node.op_type == "Bernoulli"
    ]


def test_the_encoders_noise_is_the_callers(exported_latentsync: Path, contracts: dict[str, Model]) -> None:
    running = session(manifest.folder(exported_latentsync, "vae_encoder") / "model.onnx")
    given = plausible_inputs(contracts["vae_encoder"], 1)
    found, again = run(running, given), run(running, given)
    np.testing.assert_array_equal(found["LATENTS"], again["LATENTS"])
    mean, log_variance = np.split(found["MOMENTS"], 2, axis=1)
    expected = (mean + np.exp(0.5 * log_variance) * given["NOISE"]) * SCALE
    np.testing.assert_allclose(found["LATENTS"], expected, atol=1e-6)
    mode = run(running, {**given, "NOISE": np.zeros_like(given["NOISE"])})
    np.testing.assert_allclose(mode["LATENTS"], mean * SCALE, atol=1e-6)


def test_a_decoder_without_its_post_quant_conv_would_be_caught(
    exported_latentsync: Path, modules: dict[str, nn.Module], contracts: dict[str, Model]
) -> None:
    given = inputs(modules, contracts, "vae_decoder", 1)
    decoder = modules["vae_decoder"]
    assert isinstance(decoder, VaeDecoder)
    without = VaeDecoder(random_vae(vae.TINY, SEED))
    without.post_quant_conv = nn.Identity()
    running = session(manifest.folder(exported_latentsync, "vae_decoder") / "model.onnx")
    found = run(running, given)["IMAGES"]
    wrong = difference(of_module(without, contracts["vae_decoder"], given)["IMAGES"], found)
    assert wrong.largest > 0.1  # a thousand times the tolerance
    assert wrong.cosine < 0.99


def test_the_manifest_counts_what_the_graph_holds(
    exported_latentsync: Path, modules: dict[str, nn.Module], name: str
) -> None:
    described = manifest.read(exported_latentsync, name)
    module = modules[name]
    whole = sum(parameter.numel() for parameter in module.parameters())
    if name == "denoise_step_shallow":
        assert isinstance(module, DenoiseStepShallow)
        last = module.unet.up_blocks[-1]
        held = [module.unet.conv_in, module.unet.time_embedding, module.unet.conv_norm_out]
        held += [module.unet.conv_out, last.resnets[-1], last.attentions[-1], last.motion_modules[-1]]
        assert described.parameters == sum(p.numel() for part in held for p in part.parameters()) < whole
    else:
        assert described.parameters == whole
    assert described.weights == f"random weights, seed {SEED}"
    assert 1e8 < described.macs < 1e11
    assert [file.name for file in described.files] == [
        "model.onnx", "model.onnx.data", "model.fp16.onnx", "model.fp16.onnx.data",
    ]  # fmt: skip
    full, small = (described.files[number].bytes for number in (1, 3))
    assert small < 0.75 * full
