"""Every `lipserve ...` that README and guides tell a reader to type is one that the command takes."""

from __future__ import annotations

import re
import shlex
from contextlib import nullcontext, suppress
from itertools import takewhile
from pathlib import Path

import pytest

from lipserve_cli.main import parser

ROOT = Path(__file__).resolve().parents[3]
PAGES = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docker/compose.yaml") if (ROOT / name).is_file()
]
PAGES += sorted(
    path for path in (ROOT / "docs").rglob("*.md") if path.parent.name not in ("decisions", "reference")
)
# What comes before a command's words in a line: another program that runs it in its container.
_COMMAND = re.compile(
    r"(?:^|&& |exec server )(lipserve (?!-).*)|^docker compose run --rm export ((?:all|engines) .*)"
)


def commands(page: Path) -> list[list[str]]:
    """Return the words of each command that stands in a shell block (in YAML: in the first comment)."""
    text = page.read_text()
    if page.suffix == ".yaml":
        blocks = [re.sub(r"^# *", "", text.partition("\nname:")[0], flags=re.MULTILINE)]
    else:
        blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    found = []
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        for own, exported in _COMMAND.findall(line.strip()):
            typed = shlex.split(re.split(r" [#&|>] ?| &&|;| 2>", f"{own or exported} ")[0])
            found.append(typed[1:] if own else ["export", *typed])
    return found


TYPED = [(page.relative_to(ROOT), words) for page in PAGES for words in commands(page)]


def is_a_form(words: list[str]) -> bool:
    """Return whether words are the form of a command: [--flag], FILE | FILE, $VALUE."""
    return bool({"[", "(", "|", "$"} & set("".join(words))) or "..." in words or words[-1] == "unet"


@pytest.mark.parametrize(("page", "words"), TYPED, ids=[f"{p}: {' '.join(w)[:60]}" for p, w in TYPED])
def test_a_command_of_the_guides_is_understood(
    page: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_a_form(words):
        with suppress(SystemExit) if words[-1] == "--help" else nullcontext():
            parser(words).parse_args(words)
        return
    command = list(takewhile(re.compile(r"[a-z][a-z-]*$").match, words))
    with pytest.raises(SystemExit):
        parser(command).parse_args([*command, "--help"])
    shown = set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
    assert set(re.findall(r"--[a-z0-9-]+", " ".join(words))) <= shown


def test_commands_are_found() -> None:
    assert len(TYPED) > 60
    assert ["smoke"] in commands(ROOT / "docker/compose.yaml")


def test_the_compose_file_and_its_guide_say_the_same() -> None:
    header = (ROOT / "docker/compose.yaml").read_text().partition("\nname:")[0]
    guide = (ROOT / "docs/operations/one-machine.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    assert [line.removeprefix("#   ") for line in header.splitlines() if line.startswith("#   ")] == (
        block.splitlines()
    )
