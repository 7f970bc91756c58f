"""The command `lipserve`: what it can do, and how each command ends.

A command's module is imported when it is called, and says in `configure` what its parser takes; the parser's
default `run` carries it out. So `lipserve COMMAND --help` works whichever extras are installed.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from shutil import get_terminal_size
from types import FrameType
from typing import Any, NoReturn

import shtab

from lipserve import memory
from lipserve.errors import LipServeError, SetupError
from lipserve.text import printable

EXIT_INTERRUPTED = 130
_COMPLETION = "--print-completion"


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        module: has `configure(parser)`.
        extra: of the package, which brings what the command imports; "" where the package itself does.
    """

    module: str
    help: str
    extra: str = ""


GROUPS: dict[str, dict[str, Command]] = {
    "dub videos": {
        "dub": Command("lipserve_cli.commands.dub", "make the lips of a video follow a speech"),
        "prepare": Command("lipserve_cli.commands.prepare", "learn once whose lips a video shows"),
    },
    "look after servers": {
        "serve": Command("lipserve_cli.commands.serve", "run an embedded Triton on this machine", "server"),
        "health": Command("lipserve_cli.commands.health", "check that the servers work"),
        "models": Command("lipserve_cli.commands.models", "list what the servers hold"),
        "smoke": Command("lipserve_cli.commands.smoke", "send a clip and check what comes back"),
        "bench": Command("lipserve_cli.commands.bench", "measure throughput and waiting times"),
        "pod": Command("lipserve_server.pod.command", "run a serving pod: the entry point of images", "pod"),
        "ops": Command("lipserve_ops.cli", "operate a release on Kubernetes", "ops"),
    },
    "make models": {
        "export": Command("lipserve_export.cli", "turn weights into models that Triton serves", "export"),
        "train": Command("lipserve_training.cli", "prepare data, train, judge and quantise", "training"),
        "compare": Command("lipserve_cli.compare.command", "compare two generators", "export"),
    },
}

_EPILOG = """\
examples:
  lipserve serve &                               start a server on this machine
  lipserve dub video.mp4 speech.wav -o out.mp4   dub a video
  lipserve prepare video.mp4 -o person.source    prepare once, for many speeches: dub --source
  lipserve health --deep                         check every model with a small request
  lipserve export all -o build/model_repository  export the weights that come with LipServe

exit codes:
  0 success      2 the input or an argument is refused     3 the server failed
  4 no answer    5 this machine lacks something            130 interrupted
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, and gives long flags room."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(100, get_terminal_size().columns))


class Parser(argparse.ArgumentParser):
    """A parser whose help, and that of the commands below it, is laid out in one way."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **keywords})

    def error(self, message: str) -> NoReturn:
        """Refuse the command line, which may quote a file's name."""
        super().error(printable(message))


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the whole command line; of the commands, only that in `words` is configured."""
    root = Parser(
        prog="lipserve",
        usage="lipserve COMMAND ...",
        description="Lip-sync as a service: a video and a speech go in, the same video comes back with\n"
        "lips that follow the speech. `lipserve COMMAND --help` explains each command.\n\n" + _commands(),
        epilog=_EPILOG,
    )
    root.add_argument("--version", action="version", version=f"lipserve {version('lipserve')}")
    shtab.add_argument_to(
        root, _COMPLETION, help="print a script that completes commands and flags in a shell"
    )
    commands = root.add_subparsers(metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    chosen, completed = _chosen(words), _COMPLETION in words
    for group in GROUPS.values():
        for name, command in group.items():
            shown = command.help if completed else argparse.SUPPRESS  # the description shows them in groups
            own = commands.add_parser(name, help=shown, prog=f"lipserve {name}")
            if completed or name == chosen:
                importlib.import_module(command.module).configure(own)
    return root


def _commands() -> str:
    lines = []
    for title, group in GROUPS.items():
        lines.append(f"{title}:")
        lines += [f"  {name:<10}{command.help}" for name, command in group.items()]
    return "\n".join(lines)


def _chosen(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. A failure is one line on stderr: what, and the remedy."""
    # gRPC's C core writes its own lines about a refused connection; ours says it with the remedy.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser(words).parse_args(words)
    command = next(group[name] for group in GROUPS.values() if (name := _chosen(words)) in group)
    if command.module.startswith("lipserve_cli"):
        memory.own()
    try:
        with _terminable():
            return int(parsed.run(parsed) or 0)
    except LipServeError as error:
        return _failed(error)
    except ModuleNotFoundError as error:
        if not command.extra:
            raise
        return _failed(
            SetupError(
                f"The package {error.name} is not installed.",
                f"Install it: pip install 'lipserve[{command.extra}]'",
            )
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _failed(error: LipServeError) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return error.exit_code


@contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that no half-made file is left behind.

    Where Ctrl-C is ignored, as in a script's background jobs, an event loop has no way to be interrupted:
    SIGTERM ends the process at once.
    """
    main_thread = threading.current_thread() is threading.main_thread()  # Python allows handlers there only
    if not main_thread or not callable(signal.getsignal(signal.SIGINT)):
        yield
        return
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what Ctrl-C does at this moment: an event loop that runs has a handler of its own for it."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
