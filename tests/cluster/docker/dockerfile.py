"""A Dockerfile as its instructions, by stage: as much of the language as ours use."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

_VARIABLE = re.compile(
    r"\$\{(?P<name>\w+)(?::(?P<kind>[-+])(?P<word>(?:[^{}]|\$\{\w+\})*))?\}|\$(?P<bare>\w+)"
)


@dataclass(frozen=True)
class Instruction:
    """One of a stage's; flags are its `--name=value` options."""

    name: str
    value: str
    flags: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """The value, in either form: ["a", "b"] or a b."""
        if self.value.startswith("["):
            made: list[str] = json.loads(self.value)
            return made
        return self.value.split()


@dataclass
class Stage:
    """From one FROM to the next.

    Attributes:
        base: an image, or the name of an earlier stage.
    """

    name: str
    base: str
    instructions: list[Instruction]

    def last(self, name: str) -> Instruction:
        return [found for found in self.instructions if found.name == name][-1]


def expand(text: str, variables: dict[str, str]) -> str:
    """Return the text with $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word} replaced."""

    def value(match: re.Match[str]) -> str:
        held = variables.get(match["name"] or match["bare"], "")
        if match["kind"] == "-":
            return held or expand(match["word"], variables)
        if match["kind"] == "+":
            return expand(match["word"], variables) if held else ""
        return held

    return _VARIABLE.sub(value, text)


def read(path: Path) -> tuple[dict[str, str], list[Stage]]:
    """Return the arguments before the first FROM, by their defaults, and the stages."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(path.read_text()):
        if instruction.name == "FROM":
            words = expand(instruction.value, arguments).split()
            stages.append(Stage(words[2] if len(words) == 3 else "", words[0], []))
        elif stages:
            stages[-1].instructions.append(instruction)
        else:
            name, _, default = instruction.value.partition("=")
            arguments[name] = default
    return arguments, stages


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    for line in whole.splitlines():
        name, _, rest = line.partition(" ")
        flags = {}
        while match := re.match(r"--([\w-]+)=(\S+)\s+", rest):
            flags[match[1]] = match[2]
            rest = rest[match.end() :]
        found.append(Instruction(name, rest.strip(), flags))
    return found


def requirements(name: str) -> dict[tuple[str, str], list[str]]:
    """Return the sha256 of every package's wheels by name and version: docker/requirements/<name>.txt."""
    text = (Path(__file__).resolve().parents[3] / f"docker/requirements/{name}.txt").read_text()
    found: dict[tuple[str, str], list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line and not line.startswith("#"):
            pin, *hashes = line.split()
            package, _, version = pin.partition("==")
            found[package, version] = [word.removeprefix("--hash=sha256:") for word in hashes]
    return found
