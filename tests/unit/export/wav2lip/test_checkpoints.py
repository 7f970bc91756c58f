from __future__ import annotations

import io
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from lipserve.errors import SetupError
from lipserve_export.wav2lip.checkpoints import load_generator, read_framing, read_mel_offset
from lipserve_export.wav2lip.generator import random_generator
from lipserve_export.wav2lip.network import VARIANTS, Variant, Wav2Lip

FIRST = "face_encoder_blocks.0.0.conv_block.0.weight"


@pytest.fixture(scope="module")
def model() -> Wav2Lip:
    return random_generator(VARIANTS["compressed"], 5)


def check_same(loaded: Wav2Lip, saved: Wav2Lip) -> None:
    assert loaded.variant == saved.variant
    assert not loaded.training
    expected = saved.state_dict()
    found = loaded.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def classic(model: Wav2Lip) -> dict[str, Any]:
    """The published form: DataParallel names, beside an optimiser that has taken a step."""
    optimiser = torch.optim.Adam(model.parameters())
    optimiser.zero_grad()
    model(torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)).sum().backward()
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    return {
        "state_dict": {key: value.clone() for key, value in state.items()},
        "optimizer": optimiser.state_dict(),
        "global_step": 255_000,
        "global_epoch": 12,
    }


def test_a_bare_state_dict_loads(tmp_path: Path, model: Wav2Lip) -> None:
    path = tmp_path / "bare.pth"
    torch.save(model.state_dict(), path)
    loaded, digest = load_generator(path)
    check_same(loaded, model)
    assert len(digest) == 64


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_the_classic_form_loads(tmp_path: Path, model: Wav2Lip, new_format: bool) -> None:
    path = tmp_path / "classic.pth"
    torch.save(classic(model), path, _use_new_zipfile_serialization=new_format)
    check_same(load_generator(path)[0], model)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_torchscript_archive_loads(tmp_path: Path, model: Wav2Lip) -> None:
    path = tmp_path / "scripted.pt"
    traced = torch.jit.trace(model, (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)))
    torch.jit.save(traced, path)
    check_same(load_generator(path)[0], model)


@pytest.mark.parametrize("variant", [Variant(4, True), Variant(8, False)])
def test_width_and_residual_layers_are_seen_in_the_shapes(tmp_path: Path, variant: Variant) -> None:
    path = tmp_path / "other.pth"
    torch.save(Wav2Lip(variant).state_dict(), path)
    assert load_generator(path)[0].variant == variant


def test_tensors_that_do_not_fit_are_listed_by_name(tmp_path: Path, model: Wav2Lip) -> None:
    state = dict(model.state_dict())
    del state["audio_encoder.5.conv_block.0.weight"]
    state["sync.weight"] = torch.zeros(3)
    state["output_block.1.bias"] = torch.zeros(4)
    path = tmp_path / "odd.pth"
    torch.save(state, path)
    with pytest.raises(SetupError) as caught:
        load_generator(path)
    text = str(caught.value)
    assert "1 missing: audio_encoder.5.conv_block.0.weight" in text
    assert "1 unexpected: sync.weight" in text
    assert "output_block.1.bias [4], expected [3]" in text
    assert caught.value.remedy


def test_values_that_are_not_finite_are_refused(tmp_path: Path, model: Wav2Lip) -> None:
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state["output_block.1.bias"][0] = float("nan")
    path = tmp_path / "nan.pth"
    torch.save(state, path)
    with pytest.raises(SetupError, match=r"1 not finite: output_block\.1\.bias"):
        load_generator(path)


class Planted:
    """Unpickling this makes a file, if anything runs it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_code_in_a_checkpoint_never_runs(tmp_path: Path, form: str) -> None:
    path, planted = tmp_path / "evil.pth", tmp_path / "ran"
    content = {"state_dict": {FIRST: torch.zeros(4, 6, 7, 7)}, "note": Planted(str(planted))}
    if form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"note": Planted(str(planted))}))
    with pytest.raises(SetupError, match=r"would run code|not a PyTorch checkpoint"):
        load_generator(path)
    assert not planted.exists()


def whole_module(model: Wav2Lip) -> bytes:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    return buffer.getvalue()


def test_a_pickled_module_is_refused_with_the_way_out(tmp_path: Path, model: Wav2Lip) -> None:
    path = tmp_path / "module.pth"
    path.write_bytes(whole_module(model))
    with pytest.raises(SetupError, match="save only its state dict"):
        load_generator(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PyTorch checkpoint"),
        (b"<html>404</html>", "not a PyTorch checkpoint"),
        (None, "No such file"),
    ],
    ids=["empty", "html", "absent"],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "wav2lip.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=message) as caught:
        load_generator(path)
    assert caught.value.remedy


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"absent\.pth: No such file or directory"):
        read_mel_offset(tmp_path / "absent.pth")
    with pytest.raises(SetupError, match="Is a directory"):
        read_mel_offset(tmp_path)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path, model: Wav2Lip) -> None:
    path = tmp_path / "cut.pth"
    torch.save(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SetupError, match="damaged"):
        load_generator(path)


@pytest.mark.parametrize(
    "content",
    [
        {"face_encoder.0.weight": torch.zeros(32, 15, 7, 7)},
        {FIRST: torch.zeros(16, 6, 5, 5)},
        {FIRST: torch.zeros(4000, 6, 7, 7)},
        [1, 2],
        {},
    ],
    ids=["sync expert", "another size", "enormous", "list", "empty"],
)
def test_other_networks_are_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(SetupError, match=r"not a generator|holds no state dict"):
        load_generator(path)


def test_a_checkpoint_tells_the_offset_of_its_mel_windows(tmp_path: Path, model: Wav2Lip) -> None:
    path = tmp_path / "ours.pth"
    torch.save({"state_dict": model.state_dict(), "mel_offset_ms": -40.0}, path)
    assert read_mel_offset(path) == -40
    check_same(load_generator(path)[0], model)
    torch.save(model.state_dict(), path)
    assert read_mel_offset(path) == 0
    assert read_mel_offset(path, unnamed=-40.0) == -40


@pytest.mark.parametrize(
    ("marks", "framing"),
    [
        ({}, "box"),
        ({"global_step": 255_000}, "box"),
        ({"mel_offset_ms": -40.0}, "similarity"),
        ({"mel_offset_ms": 0.0}, "similarity"),
        ({"framing": "similarity"}, "similarity"),
        ({"mel_offset_ms": -40.0, "framing": "box"}, "box"),
    ],
)
def test_a_checkpoint_tells_the_framing_of_its_crops(
    tmp_path: Path, model: Wav2Lip, marks: dict[str, Any], framing: str
) -> None:
    path = tmp_path / "some.pth"
    torch.save({"state_dict": model.state_dict(), **marks}, path)
    assert read_framing(path) == framing


def test_public_forms_without_marks_know_boxes(tmp_path: Path, model: Wav2Lip) -> None:
    bare, old, scripted = (tmp_path / name for name in ("bare.pth", "classic.pth", "scripted.pt"))
    torch.save(model.state_dict(), bare)
    torch.save(classic(model), old)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(model, (torch.zeros(1, 1, 80, 16), torch.zeros(1, 6, 96, 96)))
        torch.jit.save(traced, scripted)
    assert [read_framing(path) for path in (bare, old, scripted)] == ["box"] * 3


@pytest.mark.parametrize("framing", ["boxes", None, 3, ["box"]])
def test_an_unknown_framing_is_refused(tmp_path: Path, model: Wav2Lip, framing: object) -> None:
    path = tmp_path / "odd.pth"
    torch.save({"state_dict": model.state_dict(), "framing": framing}, path)
    with pytest.raises(SetupError, match="one of: similarity, box"):
        read_framing(path)


@pytest.mark.parametrize("offset", [900.0, float("nan"), "early", None])
def test_a_value_that_is_no_offset_is_refused(tmp_path: Path, model: Wav2Lip, offset: object) -> None:
    path = tmp_path / "odd.pth"
    torch.save({"state_dict": model.state_dict(), "mel_offset_ms": offset}, path)
    with pytest.raises(SetupError, match="has a mel_offset_ms of"):
        read_mel_offset(path)
