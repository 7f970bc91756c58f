"""The exported leaves of the tier lipwarp, with the weights that come with LipServe, against PyTorch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from lipserve import audio
from lipserve.contracts.lipwarp import LIP_MOTION, LIP_RENDERER, ROWS, SPEECH_ENCODER, STATES
from lipserve_client._samples import SPEECH
from lipserve_export.fetch.files import shipped_file
from lipserve_export.fetch.shipped import load
from lipserve_export.fetch.states import read_state
from lipserve_export.graphs import manifest
from lipserve_export.graphs.parity import Arrays, difference, of_graph, of_module, plausible_inputs
from lipserve_export.graphs.rounding import rounded
from lipserve_export.graphs.runtime import run, session
from lipserve_export.graphs.verify import sample_inputs
from lipserve_export.graphs.whisper import SpeechEncoder, WhisperEncoder
from lipserve_export.lipwarp.leaves import export_lipwarp
from lipserve_export.lipwarp.motion_network import LipMotion
from lipserve_export.lipwarp.parity import renderer_outputs
from lipserve_export.lipwarp.renderer_network import LipRenderer

SPOKEN = {"speech_encoder": SPEECH_ENCODER, "lip_motion": LIP_MOTION}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lipwarp")
    export_lipwarp(folder, {}, lambda line: None)
    return folder


@pytest.fixture(scope="module")
def modules() -> dict[str, nn.Module]:
    networks = {"speech_encoder": SpeechEncoder(), "lip_motion": LipMotion()}
    return {leaf: load(shipped_file(f"{leaf}.safetensors"), module)[0] for leaf, module in networks.items()}


@pytest.fixture(scope="module", params=SPOKEN)
def leaf(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def inputs(modules: dict[str, nn.Module], leaf: str, batch: int) -> Arrays:
    """Return seeded inputs; the motion's are the states of a speech: noise opens no mouth."""
    if leaf == "speech_encoder":
        return plausible_inputs(SPEECH_ENCODER, batch, seed=batch)
    samples = np.tile(audio.load(SPEECH), 8)
    starts = [24_000 * number for number in range(batch)]
    mels = [audio.mel_whisper(samples[start : start + 320 * ROWS]) for start in starts]
    return of_module(modules["speech_encoder"], SPEECH_ENCODER, {"MEL": np.stack(mels)})


@pytest.mark.parametrize("batch", [1, 3])
def test_the_graph_computes_what_the_module_does(
    repository: Path, modules: dict[str, nn.Module], leaf: str, batch: int
) -> None:
    given = inputs(modules, leaf, batch)
    expected = of_module(modules[leaf], SPOKEN[leaf], given)
    found = run(session(manifest.folder(repository, leaf) / "model.onnx"), given)
    (output,) = SPOKEN[leaf].outputs
    assert expected[output.name].std() > 0.01  # there is something to compare
    np.testing.assert_allclose(found[output.name], expected[output.name], rtol=0, atol=1e-4)


def test_half_precision_is_close_and_keeps_sums_in_full(
    repository: Path, modules: dict[str, nn.Module], leaf: str
) -> None:
    given = inputs(modules, leaf, 1)
    expected = of_module(modules[leaf], SPOKEN[leaf], given)
    half = ir.external_data.load_to_model(ir.load(manifest.folder(repository, leaf) / "model.fp16.onnx"))
    (output,) = SPOKEN[leaf].outputs
    found = difference(of_graph(rounded(half), given)[output.name], expected[output.name])
    assert found.cosine >= 0.9999
    assert 0 < found.relative_rms <= 1e-2
    types = Counter((node.op_type, node.outputs[0].dtype) for node in half.graph)
    for kind in ("LayerNormalization", "Softmax"):
        assert types[kind, ir.DataType.FLOAT] > 1
        assert types[kind, ir.DataType.FLOAT16] == 0
    for kind in ("Conv", "MatMul"):
        assert types[kind, ir.DataType.FLOAT16] > 1
        assert types[kind, ir.DataType.FLOAT] == 0


@pytest.mark.parametrize("batch", [1, 16])
def test_the_renderer_is_rounded_once(repository: Path, renderer: LipRenderer, batch: int) -> None:
    pictures = sample_inputs(LIP_RENDERER.inputs, batch, seed=batch)
    found = run(session(manifest.folder(repository, "lip_renderer") / "model.onnx"), pictures)
    expected = renderer_outputs(renderer, pictures)
    assert np.abs(found["FLOW"] - expected["FLOW"]).max() < 1e-4
    assert np.abs(found["BLEND"] - expected["BLEND"]).max() <= 0.5 + 1e-2
    assert np.abs(found["PAINT"] - expected["PAINT"]).max() <= 0.5 + 1e-2
    assert min(expected["BLEND"].std(), expected["PAINT"].std()) > 10


def test_the_manifests_count_what_is_multiplied(repository: Path, modules: dict[str, nn.Module]) -> None:
    manifests = {name: manifest.read(repository, name) for name in (*SPOKEN, "lip_renderer")}
    for name, module in modules.items():
        assert manifests[name].parameters == sum(parameter.numel() for parameter in module.parameters())
    assert manifests["lip_renderer"].macs == 132_544_512
    # The stem, then of each block four projections, the perceptron's eightfold, and two products of all rows.
    stem, width = 2 * ROWS * 80 * 384 * 3 + ROWS * 384 * 384 * 3, ROWS * 384 * 384
    assert manifests["speech_encoder"].macs == stem + STATES * (12 * width + 2 * ROWS * ROWS * 384)
    assert manifests["lip_motion"].macs < 0.2 * manifests["speech_encoder"].macs
    assert [described.resolution for described in manifests.values()] == [None] * 3  # that is latentsync's


@pytest.mark.parametrize("leaf", [*SPOKEN, "lip_renderer"])
@pytest.mark.parametrize("file", ["model.onnx", "model.fp16.onnx"])
def test_a_graph_is_valid_and_tells_nothing_of_its_maker(repository: Path, leaf: str, file: str) -> None:
    path = manifest.folder(repository, leaf) / file
    onnx.checker.check_model(path, full_check=True)
    data = path.read_bytes()
    assert b"site-packages" not in data
    assert str(Path(__file__).parents[2]).encode() not in data


@pytest.fixture(scope="module")
def published(shared_data: Callable[[str], Path]) -> dict[str, NDArray[np.float32]]:
    with np.load(shared_data("models/whisper_tiny_en_encoder.npz")) as file:
        return {name.removeprefix("encoder."): file[name] for name in file.files}


def test_the_encoders_weights_are_the_published_ones_bit_by_bit(
    published: dict[str, NDArray[np.float32]],
) -> None:
    state = read_state(shipped_file("speech_encoder.safetensors"))
    assert len(state) == 4 + 15 * STATES
    for name, value in state.items():
        np.testing.assert_array_equal(value.float().numpy(), published[name])


def test_the_encoder_hears_speech_as_whisper_does(
    published: dict[str, NDArray[np.float32]],
    modules: dict[str, nn.Module],
    shared_data: Callable[[str], Path],
) -> None:
    whole = WhisperEncoder().eval()
    whole.load_state_dict(
        {name: torch.from_numpy(value) for name, value in published.items() if "ln_post" not in name}
    )
    whole.positional_embedding = whole.positional_embedding[:ROWS]
    mel = audio.mel_whisper(audio.load(shared_data("audio/whisper__jfk.flac")))[None, :, : 2 * ROWS]
    with torch.inference_mode():
        expected = torch.cat(whole.states(torch.from_numpy(mel))[1 : STATES + 1], dim=-1).numpy()
    found = of_module(modules["speech_encoder"], SPEECH_ENCODER, {"MEL": mel})["STATES"]
    compared = difference(found, expected)  # the positional embedding is computed, not stored
    assert compared.largest < 1e-3
    assert compared.relative_rms < 1e-4
