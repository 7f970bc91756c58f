from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lipserve.contracts import latentsync
from lipserve_export.graphs import manifest
from lipserve_export.latentsync import commands, vae
from lipserve_export.latentsync.vae import random_vae
from tests.support.programs import export as main


def test_the_resolutions_of_the_command_line_are_the_contracts() -> None:
    assert commands.RESOLUTIONS == latentsync.RESOLUTIONS


@pytest.mark.parametrize("command", ["whisper", "vae", "unet", "latentsync"])
def test_each_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "--random-seed" in said
    assert ("--resolution" in said) == (command != "whisper")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vae"], "No vae weights given"),
        (["vae", "--vae", "nowhere.safetensors"], "nowhere.safetensors: No such file"),
        (
            ["whisper", "--whisper", "a", "--random-seed", "1"],
            "--whisper and --random-seed exclude each other",
        ),
        (["latentsync", "--unet", "a", "--vae", "b"], "No whisper weights given"),
        (["latentsync", "--unet", "a", "--random-seed", "1"], "--unet and --random-seed exclude each other"),
        (["latentsync", "--unet", "a", "--vae", "b", "--whisper", "c"], "c: No such file"),
    ],
)
def test_refusals_say_what_to_do_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*arguments, "-o", str(tmp_path / "repository")]) == 5
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "repository").exists()


def test_a_resolution_that_no_release_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["unet", "--random-seed", "1", "--resolution", "384", "-o", str(tmp_path)])


def test_a_vae_out_of_a_checkpoint_takes_the_width_of_the_unet_that_lies_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "vae.pt"
    torch.save(random_vae(vae.TINY, 3).state_dict(), checkpoint)
    repository = tmp_path / "repository"
    step = manifest.Manifest(
        model="denoise_step", weights="w", variant="v", parameters=1, macs=1, resolution=256, channels=16
    )
    manifest.write(repository, step, {})
    assert main(["vae", "--vae", str(checkpoint), "-o", str(repository)]) == 0
    said = capsys.readouterr().err
    assert "vae_decoder: PyTorch and ONNX Runtime agree within" in said
    for name in ("vae_encoder", "vae_decoder"):
        account = manifest.read(repository, name)
        assert account.weights.startswith("vae.pt, sha256 ")
        assert account.variant == "channels 8/16/16/16"
        assert (account.resolution, account.channels) == (256, 16)


def test_weights_beyond_half_precision_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = random_vae(vae.TINY, 3).state_dict()
    state["encoder.conv_in.weight"] *= 1e6  # a GroupNorm behind it: FP32 does not mind
    torch.save(state, tmp_path / "vae.pt")
    repository = tmp_path / "repository"
    assert main(["vae", "--vae", str(tmp_path / "vae.pt"), "-o", str(repository)]) == 5
    assert "A weight is too large for half precision" in capsys.readouterr().err
    assert not repository.exists()
