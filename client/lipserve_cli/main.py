"""Entry point of the command `lipserve`: the table of commands, their parsers, and their exit codes.

A command's module is imported when the command is called. Its function `configure` adds the arguments to the
parser, and the parser's default `run` carries it out. `lipserve COMMAND --help` works without any extra.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version
from shutil import get_terminal_size
from types import FrameType
from typing import Any, NoReturn

import shtab

from lipserve import memory
from lipserve.errors import LipServeError, SetupError, StorageError
from lipserve.text import printable

EXIT_INTERRUPTED = 130
_COMPLETION = "--print-completion"


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        module: name of the module, which has `configure(parser)`.
        help: one line for `lipserve --help`.
        extra: the package's extra that installs what the command imports; "" if none is needed. A command of
            its own commands names another as the parser's default `extra`.
    """

    module: str
    help: str
    extra: str = ""

    @property
    def calls_servers(self) -> bool:
        """Whether it reads untrusted files and servers' answers. A StorageError is then the server's."""
        return self.module.startswith("lipserve_cli")


GROUPS: dict[str, dict[str, Command]] = {
    "dub videos": {
        "dub": Command("lipserve_cli.commands.dub", "make the lips of a video follow a speech"),
        "verify": Command("lipserve_cli.commands.verify", "tell who made a video, and if it was changed"),
        "prepare": Command("lipserve_cli.commands.prepare", "analyse a video once, for many dubs"),
        "faces": Command("lipserve_cli.commands.faces", "tell who is in a video, and who speaks when"),
        "estimate": Command("lipserve_cli.commands.estimate", "tell time, memory and cost beforehand"),
        "check": Command("lipserve_cli.commands.check", "measure how good a video's lips are"),
    },
    "send films, get results later": {
        "jobs": Command("lipserve_cli.jobs.command", "run a service for jobs, or send jobs to one"),
    },
    "look after servers": {
        "serve": Command("lipserve_cli.commands.serve", "run an embedded Triton on this machine", "server"),
        "health": Command("lipserve_cli.commands.health", "check that the servers work"),
        "models": Command("lipserve_cli.commands.models", "list the models of the servers"),
        "smoke": Command("lipserve_cli.commands.smoke", "dub a built-in clip and check the result"),
        "bench": Command("lipserve_cli.commands.bench", "measure throughput and latency"),
        "pod": Command("lipserve_server.pod.command", "run a serving pod: the entry point of images", "pod"),
        "ops": Command("lipserve_ops.cli", "operate a release on Kubernetes", "ops"),
    },
    "make models": {
        "export": Command("lipserve_export.cli", "convert weights into models for Triton", "export"),
        "train": Command("lipserve_training.cli", "prepare data, train, evaluate, quantize", "training"),
        "compare": Command("lipserve_cli.compare.command", "compare two generators", "export"),
    },
}

_EPILOG = """\
examples:
  lipserve export all -o build/model_repository  export the models of LipServe
  lipserve serve &                               start a server on this machine
  lipserve dub video.mp4 speech.wav -o out.mp4   dub a video
  lipserve prepare video.mp4 -o host.source      prepare once, dub many speeches
  lipserve health --deep                         send each model a small request

exit codes:
  0 success      2 an input or argument is refused     3 the server failed
  4 no answer    5 something is not installed here     130 interrupted
"""


class _Formatter(argparse.HelpFormatter):
    """Wraps paragraphs, keeps blocks that have an indented line as they are, and gives long flags room.

    The usage names the positional arguments and the required flags, and `[options]` for all others.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(100, get_terminal_size().columns))

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None) -> str:
        if usage is None:
            words = [self._prog, *map(self._required, actions)]
            if any(action.option_strings and action.dest != "help" for action in actions):
                words.append("[options]")
            width = self._width - len("usage: ")
            usage = textwrap.fill(" ".join(filter(None, words)), width, subsequent_indent=" " * 9)
        return super()._format_usage(usage, actions, groups, prefix)

    def _required(self, action: argparse.Action) -> str:
        """Return how a required argument is given, or "" for an optional one."""
        if not action.option_strings:
            return self._format_args(action, self._get_default_metavar_for_positional(action))
        if not action.required:
            return ""
        values = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{action.option_strings[0]} {values}"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = text.rstrip().split("\n\n")
        return "\n\n".join(
            block if "\n " in block else super(_Formatter, self)._fill_text(block, width, indent)
            for block in blocks
        )

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._SubParsersAction):  # without a line that says COMMAND
            return "".join(map(super()._format_action, action._get_subactions()))
        return super()._format_action(action)


class Parser(argparse.ArgumentParser):
    """A parser with the layout of help that all commands share.

    Attributes:
        module: adds the arguments when they are needed first; None: they are here.
    """

    module: str | None = None

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**{"formatter_class": _Formatter, **keywords})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.complete()
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:  # said here, so that it is this command's usage that is shown, and not the whole line's
            self.error(self._not_known(unknown))
        return parsed, unknown

    def _not_known(self, words: Sequence[str]) -> str:
        flags = [word.partition("=")[0] for word in words if word.startswith("-")]
        near = [close for flag in flags for close in get_close_matches(flag, self._option_string_actions, 1)]
        hint = f"; did you mean {near[0]}?" if near else f" (see {self.prog} --help)"
        return f"unrecognized arguments: {' '.join(words)}{hint}"

    def complete(self, deep: bool = False) -> None:
        """Add the arguments that are not here yet; `deep`: to the parsers of its commands, too."""
        if self.module is not None:
            module, self.module = self.module, None
            importlib.import_module(module).configure(self)
        if deep and self._subparsers is not None:
            for action in self._subparsers._group_actions:
                for child in dict(action.choices or {}).values():
                    child.complete(deep)

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 and the message, without the control characters of a file name in it."""
        super().error(printable(message))


def parser(words: Sequence[str] = ()) -> Parser:
    """Return the parser of the whole command line; only the command that `words` names is configured."""
    root = Parser(
        prog="lipserve",
        usage="lipserve COMMAND ...",
        description="Lip-sync as a service: send a video and a speech, get the same video with lips that "
        "follow the speech. `lipserve COMMAND --help` explains each command.\n\n" + _commands(),
        epilog=_EPILOG,
    )
    root.add_argument("--version", action="version", version=f"lipserve {version('lipserve')}")
    shtab.add_argument_to(
        root, _COMPLETION, help="print a script that completes commands and flags in a shell"
    )
    chosen, completed = _chosen(words), _COMPLETION in words
    hidden = "commands" if completed else argparse.SUPPRESS  # the description shows them in groups
    commands = root.add_subparsers(metavar="COMMAND", required=True, help=hidden)
    for group in GROUPS.values():
        for name, command in group.items():
            shown = command.help if completed else argparse.SUPPRESS
            own = commands.add_parser(name, help=shown, prog=f"lipserve {name}")
            own.module = command.module
            if completed or name == chosen:
                own.complete(deep=completed)
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
    """Run the command; return its exit code. An error is one line on stderr: the message and the remedy."""
    # gRPC's C core writes its own lines about a refused connection; ours says it with the remedy.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser(words).parse_args(words)
    command = next(group[name] for group in GROUPS.values() if (name := _chosen(words)) in group)
    if command.calls_servers:
        memory.own()
    try:
        with _terminable():
            return int(parsed.run(parsed) or 0)
    except StorageError as error:
        return _failed(error if command.calls_servers else SetupError(error.message, error.remedy))
    except LipServeError as error:
        return _failed(error)
    except ModuleNotFoundError as error:
        extra = getattr(parsed, "extra", command.extra)
        if not extra:
            raise
        return _failed(
            SetupError(
                f"The package {error.name} is not installed.",
                f"Install it: pip install 'lipserve[{extra}]'",
            )
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _left(parsed)


def _left(parsed: argparse.Namespace) -> int:
    """Return the exit code where nobody reads on: of a text the beginning may be enough, of a file never."""
    from lipserve_cli.streams import STANDARD_OUTPUT

    if getattr(parsed, "output", None) != STANDARD_OUTPUT:
        return 0
    return _failed(
        SetupError(
            "The reader of standard output has left before the result was complete.",
            "Let it read to the end, or write the result to a file: -o FILE.",
        )
    )


def _failed(error: LipServeError) -> int:
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
    return error.exit_code


@contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that no incomplete file stays behind.

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
    """Call the current handler of Ctrl-C: a running event loop installs its own."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(signal.SIGINT, frame)
