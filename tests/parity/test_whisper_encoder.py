"""Whisper's encoder with real weights on real speech, against numbers that OpenAI's own code gave.

golden/whisper_tiny_en_jfk.npz was made once, with openai-whisper 20250625 and torch 2.13 on a CPU:
`whisper.audio.log_mel_spectrogram` of jfk.flac as `lipserve.audio.load` reads it, padded with 0 to 3000
columns, into `whisper.model.AudioEncoder(80, 1500, 384, 6, 4)` with the weights of tiny.en; a hook before the
first block and one behind each. It holds `mel` at `columns`, `states` at `rows` (every 48th value), and mean
and standard deviation of each state as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from numpy.typing import NDArray

from lipserve import audio
from lipserve.contracts import MODELS
from lipserve_export.graphs.dynamo import export
from lipserve_export.graphs.fp16 import mixed_fp16
from lipserve_export.graphs.parity import difference, of_graph, of_module
from lipserve_export.graphs.rounding import rounded
from lipserve_export.graphs.whisper import WhisperEncoder

CONTRACT = MODELS["whisper_encoder"]
Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def golden() -> dict[str, Array]:
    with np.load(Path(__file__).parent / "golden/whisper_tiny_en_jfk.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def encoder(shared_data: Callable[[str], Path]) -> WhisperEncoder:
    with np.load(shared_data("models/whisper_tiny_en_encoder.npz")) as file:
        state = {
            name.removeprefix("encoder."): torch.from_numpy(file[name])
            for name in file.files
            if "ln_post" not in name
        }
    made = WhisperEncoder()
    made.load_state_dict(state)
    return made.eval()


@pytest.fixture(scope="module")
def graph(encoder: WhisperEncoder) -> ir.Model:
    return export(encoder, CONTRACT)


@pytest.fixture(scope="module")
def mel(shared_data: Callable[[str], Path]) -> Array:
    """Whisper's log-mel of 11 s of speech [1, 80, 3000], with 0 behind it."""
    columns = audio.mel_whisper(audio.load(shared_data("audio/whisper__jfk.flac")))
    assert columns.shape == (80, 1100)
    return np.pad(columns, ((0, 0), (0, 3000 - 1100)))[None]


def check(states: Array, golden: dict[str, Array], tolerance: float) -> None:
    """Hold states [1500, 5, 384] to the golden numbers; the tolerance is of each state's largest value."""
    found = states[golden["rows"]][:, :, ::48]
    for state in range(5):
        expected = golden["states"][:, state]
        size = np.abs(expected).max()
        np.testing.assert_allclose(found[:, state] / size, expected / size, atol=tolerance)
    np.testing.assert_allclose(states.mean((0, 2)), golden["means"], atol=tolerance)
    np.testing.assert_allclose(states.std((0, 2)), golden["deviations"], rtol=tolerance)


def test_the_log_mel_is_openais(mel: Array, golden: dict[str, Array]) -> None:
    np.testing.assert_allclose(mel[0][:, golden["columns"]], golden["mel"], atol=2e-5)


def test_the_module_and_its_graph_give_openais_states(
    encoder: WhisperEncoder, graph: ir.Model, mel: Array, golden: dict[str, Array]
) -> None:
    # No LayerNorm behind the last block: its outliers, over 600, are what LatentSync was trained on.
    assert 600 < np.abs(of_module(encoder, CONTRACT, {"MEL": mel})["STATES"]).max() < 700
    for states in (of_module(encoder, CONTRACT, {"MEL": mel}), of_graph(graph, {"MEL": mel})):
        check(states["STATES"][0], golden, 1e-5)


def test_half_precision_is_close_on_every_state(graph: ir.Model, mel: Array) -> None:
    full = of_graph(graph, {"MEL": mel})["STATES"]
    half = of_graph(rounded(mixed_fp16(graph)), {"MEL": mel})["STATES"]
    for state in range(5):
        found = difference(half[:, :, state], full[:, :, state])
        assert found.cosine >= 0.9999
        assert 0 < found.relative_rms <= 1e-2
