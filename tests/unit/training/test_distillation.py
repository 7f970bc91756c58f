from __future__ import annotations

import numpy as np
import pytest
import torch

from lipserve_export.wav2lip.network import VARIANTS, Wav2Lip
from lipserve_training import distillation


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape, np.float32))


def test_the_adapters_of_the_paper_have_its_parameters() -> None:
    with torch.device("meta"):
        student, teacher = (Wav2Lip(VARIANTS[name]) for name in ("compressed", "original"))
    maps = distillation.adapters(student, teacher)
    shapes = [tuple(adapter[0].weight.shape[:2]) for adapter in maps]  # type: ignore[index]
    outputs, inputs = (512, 512, 512, 384, 256, 128, 64), (128, 128, 128, 96, 64, 32, 16)
    assert shapes == list(zip(outputs, inputs, strict=True))
    assert sum(parameter.numel() for parameter in maps.parameters()) == 259_712


def test_the_adapters_begin_as_the_paper_s_code_has_them() -> None:
    torch.manual_seed(0)
    maps = distillation.adapters(Wav2Lip(VARIANTS["compressed"]), Wav2Lip(VARIANTS["compressed"]))
    conv, norm = maps[0][0], maps[0][1]  # type: ignore[index]
    assert conv.bias is None
    assert conv.weight.detach().std().item() == pytest.approx(0.02, rel=0.05)
    assert norm.weight.detach().mean().item() == pytest.approx(1, abs=0.01)
    assert norm.weight.detach().std().item() == pytest.approx(0.02, rel=0.3)
    assert not norm.bias.any()


def test_channel_loss_compares_means_over_the_picture_and_sums_over_the_blocks() -> None:
    small, large = [random(2, 3, 4, 4), random(2, 3, 2, 2)], [random(2, 5, 4, 4, seed=1), random(2, 5, 2, 2)]
    maps = torch.nn.ModuleList(distillation._adapter(3, 5) for _ in range(2)).eval()
    expected = 0.0
    for adapter, s, t in zip(maps, small, large, strict=True):
        weight, scale = (adapter[i].weight.detach().numpy() for i in (0, 1))  # type: ignore[index]
        mapped = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], s.numpy()) / np.sqrt(1 + 1e-5)
        mapped = np.maximum(mapped * scale[:, None, None], 0)
        expected += float(((mapped.mean((2, 3)) - t.numpy().mean((2, 3))) ** 2).mean())
    assert distillation.channel_loss(maps, small, large).item() == pytest.approx(expected, rel=1e-5)


def test_gram_and_style() -> None:
    taps = [random(2, 3, 4, 5, seed=seed) for seed in range(4)]
    others = [random(2, 3, 4, 5, seed=seed) for seed in range(4, 8)]

    def gram(x: torch.Tensor) -> np.ndarray:
        return np.asarray(np.einsum("nahw,nbhw->nab", x.numpy(), x.numpy())) / (3 * 4 * 5)

    assert np.allclose(distillation.gram(taps[0]).numpy(), gram(taps[0]), atol=1e-6)
    expected = sum(np.abs(gram(a) - gram(b)).mean() for a, b in zip(taps, others, strict=True))
    assert float(distillation.style_loss(taps, others)) == pytest.approx(expected, rel=1e-5)


def test_only_the_second_tap_counts_as_feature() -> None:
    taps = [random(2, 3, 4, 4, seed=seed) for seed in range(4)]
    others = [random(2, 3, 4, 4, seed=seed) for seed in (9, 8, 7, 6)]
    expected = float(np.abs(taps[1].numpy() - others[1].numpy()).mean())
    assert float(distillation.feature_loss(taps, others)) == pytest.approx(expected, rel=1e-6)


def test_total_variation_is_a_sum() -> None:
    pictures = random(2, 3, 5, 6)
    x = pictures.numpy()
    expected = np.abs(np.diff(x, axis=3)).sum() + np.abs(np.diff(x, axis=2)).sum()
    assert float(distillation.total_variation(pictures)) == pytest.approx(float(expected), rel=1e-6)
    assert float(distillation.total_variation(torch.ones(2, 3, 5, 6))) == 0
