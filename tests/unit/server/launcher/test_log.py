from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lipserve.errors import SetupError
from lipserve_server.launcher.log import TritonLog, parse, to_file

HEAD = "1120 23:31:41.629213 6071"


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (f'I{HEAD} model_lifecycle.cc:472] "loading: wav2lip:1"', logging.DEBUG, "loading: wav2lip:1"),
        (f'I{HEAD} model.py:8] "started"', logging.INFO, "started"),
        (f'W{HEAD} pinned.cc:1] "Unable to allocate pinned system memory"', logging.DEBUG, None),
        (f'E{HEAD} server.cc:241] "CudaDriverHelper has not been initialized."', logging.DEBUG, None),
        (f'E{HEAD} model.cc:6] "bad\\n\\nAt:\\n  x"', logging.ERROR, "bad\n\nAt:\n  x"),
        (f"I{HEAD} pb_stub.cc:366]  Failed", logging.DEBUG, " Failed"),
        ("| Model | Status |", logging.DEBUG, "| Model | Status |"),
        ("Error: Failed to initialize NVML", logging.DEBUG, None),
        ("a line without a head", logging.WARNING, "a line without a head"),
    ],
)
def test_lines_have_the_level_that_they_mean(line: str, level: int, text: str | None) -> None:
    found = parse(line, logging.WARNING)
    assert found[0] == level
    if text is not None:
        assert found[1] == text


def test_the_tail_is_what_matters_and_the_file_has_all(tmp_path: Path) -> None:
    logger = logging.getLogger("lipserve.test.log")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = to_file(tmp_path / "folder" / "triton.log")
    logger.addHandler(handler)
    log = TritonLog(logger)
    log.pump(["+---+\n", "| a |\n", "Error: Failed to initialize NVML\n", f'E{HEAD} a.cc:1] "no model"\n'])
    logger.removeHandler(handler)
    handler.close()
    assert log.tail() == "no model"
    written = (tmp_path / "folder" / "triton.log").read_text()
    assert "ERROR   no model" in written
    assert "NVML" in written


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match=r"file/triton.log cannot be written"):
        to_file(tmp_path / "file" / "triton.log")
