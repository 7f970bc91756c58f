"""The command line of `lipserve ops`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.programs import ops as main


@pytest.mark.parametrize("command", [[], ["status"], ["build-engines"], ["upgrade"], ["drain"], ["smoke"]])
def test_help_fits_100_columns(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 10
    assert [line for line in lines if len(line) > 100] == []


def test_without_its_extra_it_names_it() -> None:
    hidden = "import sys; sys.modules['kubernetes'] = None"
    run = f"{hidden}\nfrom lipserve_cli.main import main; sys.exit(main(['ops', 'status']))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=60)
    assert done.returncode == 5
    assert "pip install 'lipserve[ops]'" in done.stderr
    assert done.stderr.count("\n") == 1
