"""The types of examples/, as they are to a user: of the installed wheel, not of this checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Third-party packages that the examples use and that come without types.
SETTINGS = "[mypy]\nstrict = True\n[mypy-grpc.*,tritonclient.*]\nignore_missing_imports = True\n"


def installed(folder: Path) -> Path:
    """Return the Python of an environment that has the wheel, and the packages that it needs."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    library = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    with zipfile.ZipFile(next(folder.glob("lipserve-*.whl"))) as wheel:
        wheel.extractall(library)
    # A folder that a .pth file names is searched, but the .pth files in it (one names this checkout) are not.
    (library / "packages.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_the_examples_are_strictly_typed_against_the_wheel(tmp_path: Path) -> None:
    python = installed(tmp_path)
    where = "import lipserve, lipserve_client; print(lipserve.__file__, lipserve_client.__file__)"
    found = subprocess.run([python, "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(ROOT) not in found.stdout
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    (tmp_path / "bad.py").write_text("from lipserve import Client\nClient().dub('a', 'b', crf='high')\n")
    examples = sorted((ROOT / "examples").glob("*.py"))
    assert len(examples) == 8
    mypy = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--python-executable", python]
    checked = [*mypy, "--cache-dir", "cache", *examples, "bad.py"]
    said = subprocess.run(checked, cwd=tmp_path, capture_output=True, text=True).stdout.splitlines()
    assert len(said) == 2, said
    assert said[0].startswith(
        'bad.py:2: error: Argument "crf" to "dub" of "Client" has incompatible type "str"'
    )
    assert said[1] == "Found 1 error in 1 file (checked 9 source files)"
