"""Every leaf of the quality tier, as it is served, through NVIDIA's builder for SM80: no GPU needed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from lipserve.contracts import Model, models
from lipserve.errors import SetupError
from lipserve_export.engines.build import _graph, check_precision, summary
from lipserve_export.engines.tensorrt import Build, build
from lipserve_export.latentsync import unet3d
from lipserve_export.latentsync.attention import Attention
from lipserve_server.repository.manifest import read_form

pytest.importorskip("tensorrt_rtx", reason="install lipserve[rtx]")

pytestmark = pytest.mark.slow

LEAVES = (
    "whisper_encoder",
    "vae_encoder",
    "vae_decoder",
    "denoise_step_shallow",  # of the same modules as the next, which are fewer
    pytest.param("denoise_step", marks=pytest.mark.whole),
)
FUSED_HEAD = 16  # the smallest size of a head for which TensorRT for RTX has one kernel of a whole attention
WHISPER_LAYERS = 4


@pytest.fixture(scope="module", params=LEAVES)
def contract(request: pytest.FixtureRequest, exported_latentsync: Path) -> Model:
    return models(read_form(exported_latentsync))[request.param]


@pytest.fixture(scope="module")
def built(contract: Model, exported_latentsync: Path) -> Build:
    return build(
        "tensorrt_rtx", exported_latentsync / contract.name / "1" / "model.fp16.onnx", contract, "sm80"
    )


def fused_attentions(leaf: str) -> int:
    """Return how many attentions of a leaf have heads that are large enough, by the network's definition."""
    if leaf == "whisper_encoder":
        return WHISPER_LAYERS
    if leaf.startswith("vae"):
        return 0  # one head of all channels, which is too large
    with torch.device("meta"):
        unet = unet3d.UNet3D(unet3d.TINY)
    last = (unet.up_blocks[-1].attentions[-1], unet.up_blocks[-1].motion_modules[-1])
    parts = last if leaf == "denoise_step_shallow" else (unet,)
    return sum(
        module.to_q.weight.shape[0] // module.heads >= FUSED_HEAD
        for part in parts
        for module in part.modules()
        if isinstance(module, Attention)
    )


def test_a_leaf_builds_for_any_batch_in_its_required_types(built: Build, contract: Model) -> None:
    check_precision(built, "fp16", contract)
    assert built.inputs == {tensor.name: (-1, *tensor.dims) for tensor in contract.inputs}
    for tensor in contract.inputs:
        smallest, likeliest, largest = built.shapes[tensor.name]
        assert smallest == [1, *tensor.dims]
        assert likeliest[0] == max(1, contract.max_batch_size // 2)
        assert largest == [contract.max_batch_size, *tensor.dims]

    types = Counter((layer.kind, layer.dtype) for layer in built.parsed)
    assert types["NORMALIZATION", "FLOAT"] > 0
    assert types["SOFTMAX", "FLOAT"] > 0
    assert types["NORMALIZATION", "HALF"] == types["SOFTMAX", "HALF"] == 0
    assert types["CONVOLUTION", "HALF"] > 0
    assert types["CONVOLUTION", "FLOAT"] == 0
    assert types["MATRIX_MULTIPLY", "HALF"] > 0
    # The timestep's embedding: two linear layers.
    assert types["MATRIX_MULTIPLY", "FLOAT"] == (2 if contract.name.startswith("denoise") else 0)

    products = [layer for layer in built.layers if layer.is_product]
    assert len(products) > 5
    floats = [layer for layer in products if "Half" not in layer.inputs]
    assert all("time_embedding" in "".join(layer.sources) for layer in floats)
    assert len(floats) <= 2


def test_attention_becomes_one_kernel_where_its_heads_are_large_enough(built: Build, contract: Model) -> None:
    found = sum(layer.is_attention for layer in built.layers)
    assert found == fused_attentions(contract.name)
    softmaxes = sum(layer.kind == "SOFTMAX" for layer in built.parsed)
    assert f"{found} of {softmaxes} attentions fused" in summary(built)


def test_the_summary_tells_what_a_build_took(built: Build) -> None:
    assert built.scratch_bytes > 1e6
    assert all(second > 0 for second in built.seconds)
    assert f"{len(built.plan) / 1e6:.1f} MB" in summary(built)


def test_an_engine_of_another_precision_is_refused(built: Build, contract: Model) -> None:
    with pytest.raises(SetupError, match="layers not in fp32"):
        check_precision(built, "fp32", contract)


def test_weights_that_were_changed_beside_their_graph_are_refused(
    exported_latentsync: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported_latentsync / "vae_encoder", tmp_path / "vae_encoder")
    encoder = models(read_form(exported_latentsync))["vae_encoder"]
    path = _graph(tmp_path, encoder, "fp16")
    assert path == tmp_path / "vae_encoder/1/model.fp16.onnx"
    with path.with_name("model.fp16.onnx.data").open("r+b") as weights:
        weights.write(b"\xff")
    with pytest.raises(SetupError, match="does not match its manifest"):
        _graph(tmp_path, encoder, "fp16")
