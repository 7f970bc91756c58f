"""`lipserve compare` short of running it: what is chosen, what is refused, how times are told."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipserve import audio
from lipserve.errors import SetupError
from lipserve.report import Report
from lipserve_cli.compare.generators import Choice, Generator, choose
from lipserve_cli.compare.measure import Measured, Seconds, own_load
from lipserve_cli.compare.table import show
from lipserve_cli.main import main
from lipserve_client._results import DubResult
from tests.support.processes import computing

LOG = """\
2026-11-21 01:58:10,807 DEBUG   successfully loaded 'face_landmarks'
2026-11-21 01:58:10,815 DEBUG   TRITONBACKEND_ModelInstanceInitialize: wav2lip_generator_0_0 (CPU device 0)
2026-11-21 01:58:10,816 DEBUG   TRITONBACKEND_ModelInstanceInitialize: wav2lip_generator_0_1 (CPU device 0)
2026-11-21 01:58:11,683 DEBUG   successfully loaded 'wav2lip_generator'
2026-11-21 01:58:11,766 DEBUG   successfully loaded 'wav2lip_generate'
"""


def _measured(name: str, weights: str, size: int, seconds: Seconds, own: float | None) -> Measured:
    stages = {"preprocess": seconds.faces, "generate": seconds.generate, "postprocess": seconds.merge}
    report = Report(
        tier="wav2lip", weights=weights, width=64, height=48, fps=25.0, frames=50, seconds=2.0, faces=1,
        faceless_frames=0, detector_calls=3, stage_seconds=stages,
    )  # fmt: skip
    generator = Generator(name, Path("repository"), weights, name, size, 2 * size, "similarity")
    result = DubResult(Path("first.mp4"), report, 3.0, (3.0,), 0)
    return Measured(generator, result, seconds, own)


ORIGINAL = _measured(
    "original", "random weights, seed 1247", 36_298_035, Seconds(4.0, 1.0, 3.5, 1.0, 0.5), 2.0
)
COMPRESSED = _measured("mine", "mine.pth, sha256 0a1b", 1_258_143, Seconds(2.0, 1.0, 0.5, 1.0, 0.5), None)


def test_words_and_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.pth").touch()
    assert choose("original", "mine.pth") == (
        Choice("original", None, "original"),
        Choice("mine", Path("mine.pth")),
    )
    assert choose("original", "compressed")[1] == Choice("compressed", None, "compressed")


def test_equal_names_are_kept_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "wav2lip.pth").touch()
    first, second = choose(str(tmp_path / "a/wav2lip.pth"), str(tmp_path / "b/wav2lip.pth"))
    assert (first.name, second.name) == ("wav2lip (first)", "wav2lip (second)")
    assert first.checkpoint != second.checkpoint


@pytest.mark.parametrize("text", ["absent.pth", "orginal", ""])
def test_a_generator_that_is_neither_name_nor_file_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match="original, compressed"):
        choose(text, "compressed")


def test_the_generators_own_load_is_read_from_the_log() -> None:
    assert own_load(LOG) == pytest.approx(0.868)
    assert own_load("") is None
    assert own_load(LOG.replace("successfully loaded 'wav2lip_generator'", "failed")) is None


def test_frames_are_counted_by_all_the_time_that_passed() -> None:
    assert ORIGINAL.seconds.total == 10.0
    assert ORIGINAL.fps == 5.0
    told = ORIGINAL.to_json()
    assert told["fps"] == told["frames"] / told["total_seconds"] == 5.0
    assert told["share"] == {"load": 0.4, "faces": 0.1, "generate": 0.35, "merge": 0.1, "other": 0.05}
    assert told["random_weights"] is True
    assert COMPRESSED.to_json()["random_weights"] is False
    assert COMPRESSED.to_json()["generator_load_seconds"] is None


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    show(ORIGINAL, COMPRESSED)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in (
        "original mine ratio",
        "parameters 36.3 M 1.26 M 28.9x",
        "MACs a frame 0.0726 G 0.00252 G 28.9x",
        "loading 4.00 s 40% 2.00 s 40% 2.0x",
        "of it the generator 2.00 s - -",
        "generation 3.50 s 35% 0.50 s 10% 7.0x",
        "total 10.00 s 100% 5.00 s 100% 2.0x",
        "FPS of all that 5.0 10.0 0.5x",
        "original: random weights, seed 1247: the mouth is noise",
        "mine: mine.pth, sha256 0a1b",
    ):
        assert line in lines


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A command line that is in order, as far as can be told before a checkpoint is read."""
    (tmp_path / "picture.png").write_bytes(
        cv2.imencode(".png", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    )
    (tmp_path / "speech.wav").write_bytes(audio.wav(np.zeros(8000, np.float32)))
    for name in ("face_detector", "face_landmarks"):
        (tmp_path / "repository" / name / "1").mkdir(parents=True)
        (tmp_path / "repository" / name / "1" / "model.onnx").touch()
    (tmp_path / "text.pth").write_text("no checkpoint\n")
    return [
        "compare",
        str(tmp_path / "picture.png"),
        str(tmp_path / "speech.wav"),
        *("-o", str(tmp_path / "out"), "--repository", str(tmp_path / "repository")),
    ]


def _refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(command)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Starting" not in captured.err
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return code, errors[0]


@pytest.mark.parametrize("which", [1, 2])
@pytest.mark.parametrize("content", [None, b"", b"no media at all, just text\n" * 9])
def test_media_are_looked_at_first(
    which: int,
    content: bytes | None,
    command: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content)
    command[which] = str(bad)
    with computing(less_than=2.0):
        code, error = _refused(command, capsys)
    assert code == 2
    assert "bad" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # it loads torch
def test_a_file_that_is_no_checkpoint(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = _refused([*command, "--second", str(tmp_path / "text.pth")], capsys)
    assert code == 5
    assert "text.pth is not a PyTorch checkpoint" in error
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("/proc/out", str(tmp_path / "text.pth"), str(tmp_path / "text.pth" / "out")):
        code, error = _refused([*command, "-o", place], capsys)
        assert code == 5
        assert f"Cannot write {place}" in error


def test_an_input_is_not_overwritten(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "picture.png").rename(tmp_path / "contact_sheet.png")
    command[1] = str(tmp_path / "contact_sheet.png")
    code, error = _refused([*command, "-o", str(tmp_path)], capsys)
    assert code == 2
    assert "one of the inputs" in error


def test_a_repository_without_face_models(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "repository/face_landmarks/1/model.onnx").unlink()
    code, error = _refused(command, capsys)
    assert code == 5
    assert "has no face_landmarks. Run: lipserve export faces -o" in error


@pytest.mark.parametrize(("module", "extra"), [("torch", "export")])
def test_a_missing_extra_is_named(
    module: str,
    extra: str,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [
        name for name in sys.modules if name.split(".")[0] in ("lipserve_server", "lipserve_export")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    code, error = _refused(command, capsys)
    assert code == 5
    assert f"pip install 'lipserve[{extra}]'" in error
    assert not (tmp_path / "out").exists()
