"""The speech encoder and the lip motion through NVIDIA's builder for SM80, as they are served: no GPU needed.

The lip renderer is among the leaves of test_engines.py.
"""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir
import pytest
from torch import nn

from lipserve.contracts import Model
from lipserve.contracts.lipwarp import LIP_MOTION, SPEECH_ENCODER, STATES
from lipserve_export.engines.build import check_precision
from lipserve_export.engines.tensorrt import Build, build
from lipserve_export.fetch.files import shipped_file
from lipserve_export.fetch.shipped import load
from lipserve_export.graphs.dynamo import export
from lipserve_export.graphs.fp16 import mixed_fp16
from lipserve_export.graphs.whisper import SpeechEncoder
from lipserve_export.lipwarp.motion_network import DILATIONS, MEMBERS, LipMotion

pytest.importorskip("tensorrt_rtx", reason="install lipserve[rtx]")

# Of each leaf: convolutions, normalisations and softmaxes in its parsed network.
LEAVES: dict[str, tuple[Model, type[nn.Module], tuple[int, int, int]]] = {
    "speech_encoder": (SPEECH_ENCODER, SpeechEncoder, (2, 2 * STATES, STATES)),
    "lip_motion": (LIP_MOTION, LipMotion, (MEMBERS * len(DILATIONS), MEMBERS * len(DILATIONS), MEMBERS)),
}


@pytest.fixture(scope="module", params=LEAVES)
def name(request: pytest.FixtureRequest) -> str:
    leaf: str = request.param
    return leaf


@pytest.fixture(scope="module")
def built(name: str) -> Build:
    contract, kind, _ = LEAVES[name]
    network, _ = load(shipped_file(f"{name}.safetensors"), kind())
    graph = ir.to_proto(mixed_fp16(export(network, contract)))
    return build("tensorrt_rtx", graph.SerializeToString(), contract, "sm80")


def test_a_leaf_builds_for_any_batch_in_its_required_types(built: Build, name: str) -> None:
    contract, _, (convolutions, norms, softmaxes) = LEAVES[name]
    check_precision(built, "fp16", contract)
    assert built.inputs == {tensor.name: (-1, *tensor.dims) for tensor in contract.inputs}
    types = Counter((layer.kind, layer.dtype) for layer in built.parsed)
    assert (types["CONVOLUTION", "HALF"], types["CONVOLUTION", "FLOAT"]) == (convolutions, 0)
    assert (types["NORMALIZATION", "FLOAT"], types["NORMALIZATION", "HALF"]) == (norms, 0)
    assert (types["SOFTMAX", "FLOAT"], types["SOFTMAX", "HALF"]) == (softmaxes, 0)
    assert types["MATRIX_MULTIPLY", "FLOAT"] == 0
    assert types["MATRIX_MULTIPLY", "HALF"] > 5


def test_every_attention_of_the_encoder_becomes_one_kernel(built: Build, name: str) -> None:
    assert sum(layer.is_attention for layer in built.layers) == (STATES if name == "speech_encoder" else 0)
