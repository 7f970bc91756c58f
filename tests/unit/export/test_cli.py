from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lipserve.contracts import PIPELINES, Form
from lipserve_export.arguments import LIPWARP
from lipserve_export.wav2lip.generator import random_generator
from lipserve_export.wav2lip.network import VARIANTS
from tests.support.programs import export as main


def test_help_needs_neither_torch_nor_onnx() -> None:
    program = (
        "import sys, time\n"
        "from lipserve_cli.main import main\n"
        "try:\n    main(['export', 'all', '--help'])\nexcept SystemExit as exit:\n    assert exit.code == 0\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'tflite', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() < 2\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--random-seed" in done.stdout


def test_lipwarp_takes_a_file_for_each_of_its_leaves() -> None:
    assert [leaf.name for leaf in PIPELINES["lipwarp"].leaves(Form())] == list(LIPWARP)


def test_a_missing_package_is_named_with_its_remedy(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from lipserve_cli.main import main\n"
        f"sys.exit(main(['export', 'wav2lip', '--random-seed', '1', '-o', {str(tmp_path)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == (
        "error: The package torch is not installed. Install it: pip install 'lipserve[export]'"
    )


def test_random_weights_are_exported_and_accounted_for(tmp_path: Path) -> None:
    assert main(["wav2lip", "--random-seed", "3", "-o", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["wav2lip_generator"]
    folder = tmp_path / "wav2lip_generator" / "1"
    account = json.loads((folder / "manifest.json").read_text())
    assert account["weights"] == "random weights, seed 3"
    assert account["variant"] == "compressed"
    assert account["parameters"] == 1_258_143
    assert account["macs"] == pytest.approx(0.0750e9, rel=1e-3)
    assert account["framing"] == "similarity"
    assert [file["name"] for file in account["files"]] == ["model.onnx", "model.fp16.onnx"]


def test_the_framing_is_the_checkpoint_s_and_the_flag_overrides_it(tmp_path: Path) -> None:
    state = random_generator(VARIANTS["compressed"], 1).state_dict()
    public, ours = tmp_path / "public.pth", tmp_path / "ours.pth"
    torch.save(state, public)
    torch.save({"state_dict": state, "mel_offset_ms": -40.0}, ours)

    def framing(*arguments: str) -> str:
        assert main(["wav2lip", *arguments, "-o", str(tmp_path)]) == 0
        return str(json.loads((tmp_path / "wav2lip_generator/1/manifest.json").read_text())["framing"])

    assert framing("--checkpoint", str(public)) == "box"
    assert framing("--checkpoint", str(public), "--framing", "similarity") == "similarity"
    assert framing("--checkpoint", str(ours)) == "similarity"
    assert framing("--checkpoint", str(ours), "--framing", "box") == "box"
    assert framing() == "similarity"  # of the weights that come with LipServe
    assert framing("--random-seed", "3", "--framing", "box") == "box"


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_weights_that_make_no_numbers_are_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = random_generator(VARIANTS["compressed"], 1).state_dict()
    state["output_block.0.conv_block.1.running_var"].fill_(-1)
    torch.save(state, tmp_path / "odd.pth")
    repository = tmp_path / "repository"
    assert main(["wav2lip", "--checkpoint", str(tmp_path / "odd.pth"), "-o", str(repository)]) == 5
    assert "Nothing was written" in capsys.readouterr().err
    assert not repository.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wav2lip", "--checkpoint", "nowhere.pth"], "nowhere.pth: No such file"),
        (["wav2lip", "--checkpoint", "x.pth", "--variant", "original"], "--variant can only be used with"),
        (["lipwarp", "--lip-motion", "nowhere.safetensors"], "nowhere.safetensors: No such file"),
        (["faces", "--mediapipe", "nowhere.whl"], "nowhere.whl"),
        (["engines", "--target", "sm80"], "manifest.json: No such file"),
    ],
)
def test_refusals_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*arguments, "-o", str(tmp_path / "repository")]) == 5
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    "arguments",
    [["wav2lip"], ["wav2lip", "--random-seed", "1", "--checkpoint", "a", "-o", "r"], ["faces"], []],
)
def test_arguments_that_make_no_sense(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert caught.value.code == 2


def test_a_negative_or_huge_seed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in ("-1", str(2**64), "many"):
        with pytest.raises(SystemExit):
            main(["wav2lip", "--random-seed", seed, "-o", str(tmp_path)])
        assert "0 to 9223372036854775807" in capsys.readouterr().err
