"""A TorchScript archive is data: its tensors are read, its program never runs."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lipserve.errors import SetupError
from lipserve_export.fetch import torchscript
from lipserve_export.fetch.states import read_state


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.turned = nn.Parameter(torch.arange(6.0).reshape(2, 3).half().t())
        self.register_buffer("mask", torch.tensor([True, False]))
        self.sizes = [1, 2]

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.sizes[0]


class Running(nn.Module):
    """A module that brings a function which loading would run."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        print("RUNNING")
        self.weight = state[0]
        self.training = state[1]


def scripted(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the form
        torch.jit.script(network).save(str(path))
    return path


def test_the_tensors_are_those_of_the_state_dict(tmp_path: Path) -> None:
    network = nn.Sequential(Block(), nn.ModuleDict({"a": Block()})["a"])
    found = torchscript.read(scripted(network, tmp_path / "network.pt"))
    expected = network.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_a_function_that_loading_would_run_does_not_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = scripted(Running(), tmp_path / "running.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    assert "RUNNING" in capfd.readouterr().out, "this test is about a function that does run"
    with pytest.raises(SetupError, match=r"run its program.*torch\.jit\.load\(FILE\)\.state_dict"):
        read_state(path)
    assert capfd.readouterr().out == ""


class Call:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> object:
        return self._call


def archive(path: Path, content: object, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("network/data.pkl", pickle.dumps(content, 2))
        file.writestr("network/constants.pkl", pickle.dumps(()))
    return path


@pytest.mark.parametrize(
    "content",
    [
        Call(print, "RUNNING"),
        Call(eval, "print('RUNNING')"),
        Call(torch.load, "network.pt"),
        {"a": torch.nn.Linear},
        [1, 2],
        {},
    ],
    ids=["print", "eval", "torch.load", "a class", "a list", "a dictionary"],
)
def test_a_pickle_of_anything_but_modules_is_refused(
    tmp_path: Path, content: object, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SetupError, match="holds more than tensors"):
        torchscript.read(archive(tmp_path / "network.pt", content))
    assert "RUNNING" not in capfd.readouterr().out


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    whole = scripted(Block(), tmp_path / "whole.pt")
    with pytest.raises(SetupError, match="damaged"):
        torchscript.read(archive(tmp_path / "packed.pt", {}, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "less.pt", "w") as target:
        for name in source.namelist():
            if "/data/" not in name:
                target.writestr(name, source.read(name))
    with pytest.raises(SetupError, match="damaged"):
        torchscript.read(tmp_path / "less.pt")
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "short.pt", "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name)[:8] if "/data/" in name else source.read(name))
    with pytest.raises(SetupError, match="damaged"):
        torchscript.read(tmp_path / "short.pt")
