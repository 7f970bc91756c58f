"""`lipserve train expert|teacher|student`, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lipserve_export.wav2lip.checkpoints import load_generator, read_mel_offset
from lipserve_export.wav2lip.network import Variant
from lipserve_training.models.expert import load_expert
from lipserve_training.train import checkpoint
from tests.support.programs import train as main

RUN = "[run]\nsteps = 3\nframes = 5\nlog_every = 1\nsave_every = 2\n"
HELD_OUT = '[data]\nhold_out = ["cid"]\nmel_offset_ms = -20\n'
TEACHER = "[losses]\nl1 = 0.9\nsync = 0.03\nadversarial = 0.07\n"
STUDENT = "[losses]\nl1 = 1\nchannel = 10\nfeature = 10\nstyle = 10\nsync = 3\nsync_from = 0.5\n"


def command(kind: str, recipe: str, data: Path, folder: Path, *more: object) -> list[str]:
    file = folder.with_suffix(".toml")
    file.write_text(recipe)
    given = [kind, "--recipe", file, "--data", data, "-o", folder, "--device", "cpu", *more]
    return [str(word) for word in given]


@pytest.mark.slow
def test_expert_then_teacher_then_student(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expert, teacher, student = (tmp_path / name for name in ("expert", "teacher", "student"))
    run = RUN.replace("= 3", "= 2").replace("save_every = 2", "save_every = 1")  # saved on the way, too
    assert main(command("expert", run.replace("frames = 5", "frames = 10") + HELD_OUT, dataset, expert)) == 0
    assert "3 clips of 2 speakers" in capsys.readouterr().err
    found = load_expert(expert / "expert.pth")
    assert found.face_encoder[0].conv.out_channels == 8  # type: ignore[union-attr,operator]
    hears = ("--expert", expert / "expert.pth")
    assert main(command("teacher", run + HELD_OUT + TEACHER, dataset, teacher, *hears, "--steps", 1)) == 0
    learns = (*hears, "--teacher", teacher / "generator.pth")
    assert main(command("student", run + HELD_OUT + STUDENT, dataset, student, *learns)) == 0
    assert "features of VGG-16: random weights, seed 1247" in capsys.readouterr().err
    generator, _ = load_generator(student / "generator.pth")
    assert generator.variant == Variant(4, False)
    assert read_mel_offset(student / "generator.pth") == -20
    marks = torch.load(student / "generator.pth", weights_only=True)
    assert marks["framing"] == "similarity"
    average = checkpoint.read(student)["average"]
    assert all(torch.equal(value, average[key]) for key, value in generator.state_dict().items())
    assert list((student / "curves").iterdir())


L1 = "[losses]\nl1 = 1\n"


def test_a_finished_run_goes_on_where_more_steps_are_asked_for(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command("student", RUN + L1, dataset, tmp_path / "run")
    assert main(words) == 0
    assert main([*words, "--steps", "4"]) == 0
    text = capsys.readouterr().err
    assert "going on from step 3" in text
    assert "\n4/4 l1" in text
    assert checkpoint.read(tmp_path / "run")["step"] == 4
    assert main(words) == 5
    assert "is at step 4, beyond the requested 3" in capsys.readouterr().err


def test_a_run_begins_with_the_result_of_another_and_is_saved_as_asked(dataset: Path, tmp_path: Path) -> None:
    assert main(command("student", RUN + L1, dataset, tmp_path / "first")) == 0
    halved = RUN.replace("frames", 'saved = "float16"\nlearning_rate = 1e-12\nema = 0.0\nframes')
    begin = ("--init", tmp_path / "first/generator.pth")
    assert main(command("student", halved + L1, dataset, tmp_path / "second", *begin)) == 0
    before, after = (
        torch.load(tmp_path / run / "generator.pth", weights_only=True)["state_dict"]
        for run in ("first", "second")
    )
    for key, value in after.items():
        assert value.dtype == (torch.float16 if before[key].is_floating_point() else torch.int64)
        if key.endswith("weight"):
            assert torch.equal(value, before[key].half())


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_from_which_the_run_goes_on(dataset: Path, tmp_path: Path) -> None:
    words = command("student", RUN + L1, dataset, tmp_path / "run")
    program = [Path(sys.executable).parent / "lipserve", "train", *words, "--steps", "100000"]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("2/100000"):
            break
    os.kill(process.pid, signal.SIGINT)
    _, text = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "run the same command again to go on" in text
    assert "Traceback" not in text
    step = checkpoint.read(tmp_path / "run")["step"]
    assert step >= 2
    assert not (tmp_path / "run/generator.pth").exists()
    assert main([*words, "--steps", str(step + 1)]) == 0
    assert (tmp_path / "run/generator.pth").exists()


@pytest.fixture(params=["4k", "128k"])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A real file system, too small for the curves, or for a checkpoint."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_told_with_its_remedy(
    dataset: Path, tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command("student", RUN + L1, dataset, tmp_path / "run")
    words[words.index("-o") + 1] = str(small_disk / "run")
    assert main(words) == 5
    text = capsys.readouterr().err
    assert "cannot be written: No space left on device" in text
    assert "Free some space" in text
    assert not list(small_disk.glob("run/*.pt*"))


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        (RUN + "[losses]\nsync = 1\n", (), "needs --expert"),
        (RUN + "[losses]\nstyle = 1\n", (), "needs --teacher"),
        (RUN + L1, ("--steps", "0"), "greater than 0"),
        (RUN + "[losses]\nsync = 1\n", ("--expert", "absent.pth"), "absent.pth"),
        (RUN + L1 + '[data]\nhold_out = ["ann", "ben", "cid"]\n', (), "holds out all 4 clips"),
        ("[run\n", (), "cannot be read"),
    ],
)
def test_faults_are_told_before_any_work(
    dataset: Path, tmp_path: Path, recipe: str, more: tuple[str, ...], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(command("student", recipe, dataset, tmp_path / "run", *more)) == 5
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_that_cannot_be_written_is_told_to_go_elsewhere(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_bytes(b"")
    assert main(command("student", RUN + L1, dataset, tmp_path / "run")) == 5
    text = capsys.readouterr().err
    assert "run cannot be written: " in text
    assert "Give a folder that can be written with -o." in text
    assert "Free some space" not in text


def test_an_empty_dataset_and_a_folder_that_is_no_dataset_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command("student", RUN + L1, tmp_path, tmp_path / "run")) == 5
    assert "is not a dataset" in capsys.readouterr().err
    (tmp_path / "index.json").write_text(json.dumps({"version": 2, "clips": []}))
    assert main(command("student", RUN + L1, tmp_path, tmp_path / "run")) == 5
    assert "holds no clip" in capsys.readouterr().err


def test_a_teacher_of_another_shape_is_told(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"face_encoder_blocks.0.0.conv_block.0.weight": torch.zeros(4, 6, 5, 5)}, tmp_path / "t.pth")
    recipe = RUN + "[losses]\ntv = 1\n"
    assert main(command("student", recipe, dataset, tmp_path / "run", "--teacher", tmp_path / "t.pth")) == 5
    assert "not a generator of the Wav2Lip family" in capsys.readouterr().err


def test_an_unknown_speaker_name_gives_a_warning(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RUN.replace("3", "1") + L1 + '[data]\nhold_out = ["dan"]\n'
    assert main(command("student", recipe, dataset, tmp_path / "run")) == 0
    assert "warning: held out, but not there: dan" in capsys.readouterr().err
