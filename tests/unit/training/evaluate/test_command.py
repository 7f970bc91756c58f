from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch

from lipserve import audio
from lipserve_training.evaluate import document
from tests.support.programs import train as main
from tests.unit.training.data.conftest import Film, film  # noqa: F401 (a fixture)

SharedData = Callable[[str], Path]
FRAMES = 48  # of the clip whose speech is the wrong one


@pytest.mark.slow
def test_evaluate_judges_both_tiers_and_says_that_a_generator_is_random(
    shared_data: SharedData,
    exported: Path,
    checkpoint: Path,
    film: Film,  # noqa: F811
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    videos, other = tmp_path / "videos", shared_data("video/LipNet__lbbc2a.mpg")
    videos.mkdir()
    shutil.copy(shared_data("video/LipNet__sbia1a.mpg"), videos)
    with av.open(str(other)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][:FRAMES]
    film(videos / "LipNet__lbbc2a.mkv", pictures, audio.load(other)[: FRAMES * 640])
    shutil.copy(shared_data("edge/noaudio_vr2.mp4"), videos)
    speakers = tmp_path / "speakers"
    speakers.write_text("LipNet__sbia1a.mpg s3\nLipNet__lbbc2a.mkv s22\n")
    docs = tmp_path / "docs.md"
    docs.write_text(f"{document.START}\n{document.END}\n")
    arguments = ["evaluate", "--checkpoint", checkpoint, "--clips", videos, "-o", tmp_path / "out"]
    arguments += ["--models", exported, "--docs", docs, "--wrong", "1", "--workers", "1"]
    arguments += ["--speakers", speakers, "--colour", shared_data("faults/bw.mp4")]
    arguments += ["--alignments", shared_data("grid/alignments_all34.tsv.gz")]
    assert main([str(argument) for argument in arguments]) == 0
    found = json.loads((tmp_path / "out/report.json").read_text())
    assert list(found["tiers"]) == ["wav2lip", "lipwarp"]
    first, row = found["clips"]
    assert (first["clip"], row["clip"]) == ("LipNet__lbbc2a.mkv", "LipNet__sbia1a.mpg")
    assert (row["split"], row["speaker"], row["sentence"]) == ("heldout", "s3", "sbia1a")
    noise, moved = row["tiers"]["wav2lip"], row["tiers"]["lipwarp"]
    assert noise["agreement"] < 0.5  # its mouth is noise
    assert noise["psnr"] < 15 < 20 < moved["psnr"]
    assert noise["border_step"] > 4
    assert noise["sharpness"] < 0.5 < moved["sharpness"]
    assert moved["chroma_shift"] < 2 < noise["chroma_shift"]
    assert len(noise["wrong_audio"]) == 1
    assert found["tiers"]["wav2lip"]["weights"].startswith("random.pth")
    assert found["dropped"] == {"noaudio_vr2.mp4": "no sound"}
    assert found["colour_clips"][0]["clip"] == "bw.mp4"
    for page in ("LipNet__sbia1a.mpg.png", "bw.mp4.png"):
        assert (tmp_path / "out/sheets" / page).stat().st_size > 10_000
    assert "LipNet__sbia1a.mpg" in docs.read_text()
    assert "dropped noaudio_vr2.mp4: no sound" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--checkpoint", "absent.pth", "absent.pth"),
        ("--clips", "absent", "does not exist"),
        ("--docs", "absent.md", "cannot be read"),
        ("--recipe", "absent.toml", "cannot be read"),
        ("--speakers", "absent.txt", "cannot be read"),
        ("--models", "absent_models", "holds no face_detector"),
        ("--syncnet", "absent.model", "absent.model"),
        ("--features", "absent.onnx", "not an ONNX network"),
        ("--colour", "absent", "does not exist"),
        ("--alignments", "absent.gz", "absent.gz cannot be read"),
        ("--tiers", "lipwarp", "--checkpoint belongs to the tier wav2lip"),
        ("--wrong", "0", "Give 1 or more"),
        ("--workers", "0", "--workers is 0"),
        ("-o", "video.mp4", "video.mp4 cannot be written"),
        ("-o", "video.mp4/out", "video.mp4 is not a folder with write permission"),
        ("--docs", "taken.md", "Give another file with --docs"),
        ("--models", "damaged_models", "is damaged. Export it again"),
    ],
)
def test_missing_files_are_named_at_once(
    option: str,
    value: str,
    message: str,
    checkpoint: Path,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "video.mp4").write_bytes(b"")
    (tmp_path / "taken.md").write_text(f"{document.START}\n{document.END}\n")
    (tmp_path / "taken").write_bytes(b"")  # where the plots would go
    damaged = tmp_path / "damaged_models/face_detector/1"
    damaged.mkdir(parents=True)
    (damaged / "model.onnx").write_bytes(b"not a graph")
    given = {
        "--checkpoint": str(checkpoint), "--clips": "video.mp4", "--models": str(exported),
        "-o": "out", "--workers": "1",
    }  # fmt: skip
    arguments = [word for pair in {**given, option: value}.items() for word in pair]
    assert main(["evaluate", *arguments]) == 5
    assert message in capfd.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_shipped_recipe_is_known_by_its_name(
    checkpoint: Path, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips" / "s3"
    folder.mkdir(parents=True)
    (folder / "video.mp4").write_bytes(b"")
    words = ["evaluate", "--checkpoint", checkpoint, "--clips", tmp_path / "clips", "--models", exported]
    words += ["--recipe", "grid_student", "--seen", "s3", "-o", tmp_path / "out", "--workers", "1"]
    assert main([str(word) for word in words]) == 5
    assert "1 videos: 1 heldout" in capfd.readouterr().err


def test_a_checkpoint_of_another_shape_is_refused(
    exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(2)}, path)
    (tmp_path / "video.mp4").write_bytes(b"")
    words = ["evaluate", "--checkpoint", path, "--clips", tmp_path / "video.mp4", "--models", exported]
    assert main([str(word) for word in words]) == 5
    assert "is not a generator of the Wav2Lip family" in capfd.readouterr().err


def test_no_clip_that_can_be_judged_is_an_error_with_its_reason(
    checkpoint: Path, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "video.mp4").write_bytes(b"not a video")
    words = ["evaluate", "--checkpoint", checkpoint, "--clips", tmp_path / "video.mp4", "--models", exported]
    assert main([*map(str, words), "-o", str(tmp_path / "out"), "--workers", "1"]) == 5
    assert "No clip could be judged. video.mp4:" in capfd.readouterr().err


def test_only_trained_clips_are_nothing_to_judge(
    checkpoint: Path, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips" / "s1"
    folder.mkdir(parents=True)
    (folder / "video.mp4").write_bytes(b"")
    words = ["evaluate", "--checkpoint", checkpoint, "--clips", tmp_path / "clips", "--models", exported]
    assert main([*map(str, words), "--seen", "s1"]) == 5
    assert "All videos were used in the training" in capfd.readouterr().err
