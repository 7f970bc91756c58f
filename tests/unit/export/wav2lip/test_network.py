from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lipserve_export.graphs import counts
from lipserve_export.wav2lip.generator import wav2lip_network
from lipserve_export.wav2lip.network import VARIANTS, Variant, Wav2Lip

# Parameters, multiplications on the output grid, as torchprofile counts (BatchNorm added), and on the input
# grid, and tensors of the state dict. The papers print 36.3 M and 6.21 G, 2.3 M and 0.40 G, 1.3 M and 0.22 G.
TABLE = {
    "original": (Variant(16, True), 36_298_035, 6.2024e9, 6.2069e9, 3.9670e9, 352),
    "no residual": (Variant(16, False), 20_061_555, 3.3017e9, None, 1.0662e9, 156),
    "quarter": (Variant(4, True), 2_275_983, 0.3960e9, 0.3971e9, 0.2563e9, 352),
    "compressed": (Variant(4, False), 1_258_143, 0.2147e9, 0.21516e9, 0.0750e9, 156),
}


def normalised_elements(model: Wav2Lip) -> int:
    """Elements that pass a BatchNorm for one frame."""
    passed: list[int] = []
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda _module, _inputs, output: passed.append(output.numel()))
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96))
    return sum(passed)


@pytest.mark.parametrize("row", TABLE)
def test_counts_equal_the_papers_both_ways(row: str) -> None:
    variant, parameters, output_grid, torchprofile, input_grid, tensors = TABLE[row]
    model = Wav2Lip(variant).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert len(model.state_dict()) == tensors
    macs = counts.macs(wav2lip_network(model))
    assert macs.output_grid == pytest.approx(output_grid, rel=5e-4)
    assert macs.input_grid == pytest.approx(input_grid, rel=5e-4)
    if torchprofile is not None:
        assert macs.output_grid + normalised_elements(model) == pytest.approx(torchprofile, rel=2e-4)


@pytest.mark.parametrize("name", ["original", "compressed"])
def test_every_key_and_shape_is_the_public_checkpoints(name: str, shared_data: Callable[[str], Path]) -> None:
    listing = shared_data("../specs/wav2lip-state-dict-keys.md").read_text()
    section = next(part for part in listing.split("\n## ")[0:] if part.lstrip("# ").startswith(name))
    rows = re.findall(r"^\| (\S+\.\S+) \| \[([\d, ]*)\] \|$", section, re.MULTILINE)
    expected = {key: [int(size) for size in shape.split(",") if size.strip()] for key, shape in rows}
    found = {key: list(value.shape) for key, value in Wav2Lip(VARIANTS[name]).state_dict().items()}
    assert found == expected


def test_the_variants_say_their_names() -> None:
    assert [Variant(4, False).name, Variant(16, True).name] == ["compressed", "original"]
    assert Variant(8, True).name == "width 8/16, with residual layers"


def test_the_decoder_s_features_come_before_the_skips() -> None:
    model = Wav2Lip(Variant(4, False)).eval()
    seen: list[torch.Tensor] = []
    for block in model.face_decoder_blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    mel, faces = torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)
    with torch.no_grad():
        features, logits = model.features_and_logits(mel, faces)
        assert torch.equal(torch.sigmoid(logits), model(mel, faces))
    sizes = [tuple(feature.shape[1:]) for feature in features]
    assert sizes == list(zip((128, 128, 128, 96, 64, 32, 16), *[(1, 3, 6, 12, 24, 48, 96)] * 2, strict=True))
    assert model.feature_channels == [128, 128, 128, 96, 64, 32, 16]
    assert all(torch.equal(a, b) for a, b in zip(features, seen[:7], strict=True))
