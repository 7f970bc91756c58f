"""The weights that come with LipServe, and how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors
import torch
from torch import nn

from lipserve.errors import SetupError
from lipserve_export.fetch import files, shipped
from lipserve_export.fetch.states import read_state
from lipserve_export.graphs.whisper import SpeechEncoder
from lipserve_export.lipwarp.motion_network import LipMotion
from lipserve_export.lipwarp.renderer_network import LipRenderer
from lipserve_export.wav2lip import leaf as generator_leaf
from lipserve_export.wav2lip.checkpoints import load_generator, read_framing, read_mel_offset
from lipserve_export.wav2lip.network import VARIANTS

WEIGHTS = Path(__file__).parents[4] / "weights"
METADATA = {"recipe": "none", "steps": "12"}


def network() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


def test_the_generator_is_small_and_the_compressed_one() -> None:
    path = generator_leaf.shipped()
    assert path.stat().st_size <= 3_000_000
    model, _ = load_generator(path)
    assert model.variant == VARIANTS["compressed"]
    assert read_mel_offset(path) == -40
    assert read_framing(path) == "similarity"
    assert {value.dtype for value in read_state(path).values()} == {torch.float16, torch.int64}


def test_its_card_names_it_and_its_source() -> None:
    _, digest = load_generator(generator_leaf.shipped())
    card = (WEIGHTS / "wav2lip_grid.md").read_text()
    assert f"`{digest}`" in card
    assert "doi:10.5281/zenodo.3625687, CC BY 4.0" in card


def test_all_files_together_are_small_and_each_is_in_the_index() -> None:
    files = [path for path in WEIGHTS.iterdir() if path.suffix in (".pth", ".onnx", ".safetensors")]
    assert sorted(path.stem for path in files) == [
        "face_detection_yunet_2026may", "lip_motion", "lip_renderer", "speech_encoder", "wav2lip_grid",
    ]  # fmt: skip
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= 16_000_000
    index = (WEIGHTS / "README.md").read_text()
    assert all(f"`{path.name}`" in index for path in files)


@pytest.mark.parametrize(
    ("file", "owner"), [("face_detection_yunet_2026may", "Shiqi Yu"), ("speech_encoder", "OpenAI")]
)
def test_the_notices_of_others_lie_beside_their_files(file: str, owner: str) -> None:
    notice = (WEIGHTS / f"{file}.LICENSE").read_text()
    assert notice.startswith("MIT License")
    assert owner in notice


def test_the_detector_is_the_one_that_is_pinned() -> None:
    assert files.file_sha256(files.shipped_file(files.YUNET.name)) == files.YUNET.sha256


@pytest.mark.parametrize(
    ("leaf", "kind"),
    [("speech_encoder", SpeechEncoder), ("lip_motion", LipMotion), ("lip_renderer", LipRenderer)],
)
def test_each_network_has_its_weights_in_half_precision_and_says_what_made_them(
    leaf: str, kind: type[nn.Module]
) -> None:
    path = files.shipped_file(f"{leaf}.safetensors")
    loaded, digest = shipped.load(path, kind())
    assert digest == files.file_sha256(path)
    assert not loaded.training
    assert {value.dtype for value in read_state(path).values()} <= {torch.float16, torch.int64}
    assert {value.dtype for value in loaded.state_dict().values()} <= {torch.float32, torch.int64}
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata()


def test_weights_are_read_as_written_rounded_to_half_precision(tmp_path: Path) -> None:
    saved = network().state_dict()
    saved["1.num_batches_tracked"] += 70_000  # a count is no number to be rounded
    shipped.save(tmp_path / "a.safetensors", saved, METADATA)
    shipped.save(tmp_path / "b.safetensors", saved, METADATA)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    loaded, digest = shipped.load(
        tmp_path / "a.safetensors", nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    )
    for name, value in loaded.state_dict().items():
        wanted = saved[name].half().float() if value.is_floating_point() else saved[name]
        assert torch.equal(value, wanted), name
    assert len(digest) == 64
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == METADATA


@pytest.mark.parametrize("value", [1e5, float("nan")])
def test_weights_that_half_precision_does_not_hold_are_not_written(tmp_path: Path, value: float) -> None:
    state = network().state_dict()
    state["0.bias"][1] = value
    with pytest.raises(SetupError, match=r"a\.safetensors was not written: .*0\.bias"):
        shipped.save(tmp_path / "a.safetensors", state, METADATA)
    assert not list(tmp_path.iterdir())


def test_another_networks_file_is_refused_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    shipped.save(path, network().state_dict(), METADATA)
    with pytest.raises(SetupError, match="does not fit the network LipRenderer") as caught:
        shipped.load(path, LipRenderer())
    assert "unexpected: 0.bias, 0.weight" in str(caught.value)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SetupError, match="damaged"):
        shipped.load(path, network())


def test_a_folder_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot be written"):
        shipped.save(tmp_path / "file" / "a.safetensors", network().state_dict(), METADATA)


def test_a_file_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(SetupError, match=r"nothing\.onnx is not installed") as caught:
        files.shipped_file("nothing.onnx")
    assert "pip install" in caught.value.remedy
