"""The help text of every command, as a terminal of 80 columns shows it."""

from __future__ import annotations

import argparse
import re
import shlex
from functools import cache

import pytest

from lipserve_cli.main import GROUPS, Parser, main, parser

COMMANDS = [name for group in GROUPS.values() for name in group]


def subcommands(own: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a parser's commands, by name."""
    tables = [action.choices for action in own._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(tables[0]) if tables else {}


@cache
def command(path: str) -> argparse.ArgumentParser:
    """Return the parser of a command such as "export all"."""
    own: argparse.ArgumentParser = parser(path.split())
    for name in path.split():
        own = subcommands(own)[name]
        assert isinstance(own, Parser)
        own.complete()
    return own


PATHS = COMMANDS + [f"{name} {own}" for name in COMMANDS for own in subcommands(command(name))]


def test_all_commands_of_three_levels_are_found() -> None:
    assert {"dub", "export fetch", "train quantize", "ops drain"} <= set(PATHS)
    assert len(PATHS) > 35


@pytest.mark.parametrize("path", ["", *PATHS])
def test_help_fits_80_columns_and_has_a_description(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    own = command(path) if path else parser()
    assert own.description
    text = own.format_help()
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith(f"usage: lipserve {path}".rstrip())


@pytest.mark.parametrize("path", PATHS)
def test_every_argument_is_explained_and_names_its_value(path: str) -> None:
    for action in command(path)._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert all(own.help for own in action._get_subactions())
            continue
        assert len((action.help or "").split()) > 1, action
        takes_a_value = action.nargs != 0 and action.choices is None
        assert action.metavar or not takes_a_value, action


@pytest.mark.parametrize("path", PATHS)
def test_the_examples_of_a_command_are_understood(path: str) -> None:
    epilog = re.sub(r"\\\n +", "", command(path).epilog or "")
    examples = re.findall(r"^  (?:kubectl .* && )?lipserve (.*)", epilog, re.MULTILINE)
    assert examples
    assert any(f"{example} ".startswith(f"{path} ") for example in examples)
    for example in examples:
        words = shlex.split(re.split(r" &$| [|>] |   ", example)[0])
        parser(words).parse_args(words)


def test_a_shell_completes_the_flags_of_commands_of_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    script = capsys.readouterr().out
    for word in ("dub", "jobs", "gateway", "--oidc-issuer", "--tier", "--scratch"):
        assert word in script, word
