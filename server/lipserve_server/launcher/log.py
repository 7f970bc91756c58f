"""Triton's log as Python logging, without the lines that every machine without a GPU gets."""

from __future__ import annotations

import json
import logging
import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from lipserve.errors import SetupError

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_LINE = re.compile(r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ (?P<source>[\w./-]+:\d+)\] (?P<text>.*)")
_LEVELS = {"I": logging.INFO, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}
_EXPECTED = re.compile(
    r"unable to allocate pinned system memory|failed to allocate pinned system memory"
    r"|CudaDriverHelper has not been initialized|unable to create stream for"
    r"|Failed to initialize NVML|DCGM unable to start"
    # spans that nobody listens for
    r"|\[OTLP HTTP Client\]"
    # an ensemble, while one of its models is being brought back
    r"|contains models that are not available or ambiguous",
    re.IGNORECASE,
)
_KEPT = 200  # lines


class TritonLog:
    """Passes the server's lines on to a logger, and keeps the last ones.

    What Triton tells of itself in passing is DEBUG; what models tell is INFO; warnings and errors are what
    they are.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._kept: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._level = logging.DEBUG

    def pump(self, lines: Iterable[str]) -> None:
        """Pass on every line until there are no more."""
        for line in lines:
            self._level, text = parse(line.rstrip("\n"), self._level)
            if text:
                self._kept.append((self._level, text))
                self._logger.log(self._level, "%s", text)

    def tail(self, count: int = 10) -> str:
        """Return the last warnings and errors, or the last lines of any kind where there are none."""
        kept = list(self._kept)
        serious = [text for level, text in kept if level >= logging.WARNING]
        return "\n".join((serious or [text for _, text in kept])[-count:])


def parse(line: str, previous: int) -> tuple[int, str]:
    """Return the level and text of a line; one without a level has the `previous` line's."""
    match = _LINE.match(line)
    if match is None:
        return (logging.DEBUG, line) if line[:1] in ("|", "+") or _EXPECTED.search(line) else (previous, line)
    text = match["text"]
    if text.startswith('"'):
        try:
            text = json.loads(text)  # Triton escapes line breaks in what it quotes
        except ValueError:
            text = text.strip('"')
    level = _LEVELS[match["level"]]
    if _EXPECTED.search(text) or (level == logging.INFO and ".py:" not in match["source"]):
        level = logging.DEBUG
    return level, text


def to_file(path: Path) -> logging.Handler:
    """Return a handler that appends everything to a file; SetupError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path)
    except OSError as error:
        raise SetupError(
            f"The log {path} cannot be written: {error.strerror}.", "Give another file."
        ) from error
    handler.setFormatter(logging.Formatter(FORMAT))
    return handler
