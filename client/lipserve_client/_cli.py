"""The command `lipserve`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType
from typing import NoReturn

from lipserve import memory
from lipserve.errors import LipServeError
from lipserve.text import printable
from lipserve_client._commands import bench, compare, health, models, prepare, serve, smoke, sync
from lipserve_client._commands.arguments import Formatter
from lipserve_client._exit import EXIT_INTERRUPTED, exit_code

_EPILOG = """\
examples:
  lipserve serve &                                   start a server on this machine
  lipserve sync video.mp4 speech.wav -o out.mp4      lip-sync a video
  lipserve prepare video.mp4 -o person.source        once, for many speeches: sync --source
  lipserve health --deep                             check every model with a small request
  lipserve smoke                                     send a clip of its own, check the result
  lipserve compare video.mp4 speech.wav -o DIR       two generators side by side

exit codes:
  0 success      2 the input or an argument is refused     3 the server failed
  4 no answer    5 this machine lacks something            130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Refuse the command line, which may quote a file's name."""
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = _Parser(
        prog="lipserve",
        description="Lip-sync as a service: a video and a speech in, the same video with lips that\n"
        "follow the speech out. `lipserve COMMAND --help` explains each command.",
        epilog=_EPILOG,
        formatter_class=Formatter,
    )
    root.add_argument("--version", action="version", version=f"lipserve {version('lipserve')}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (sync, prepare, serve, models, health, smoke, bench, compare):
        module.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. A failure is one line on stderr: what, and the remedy."""
    # gRPC's C core writes its own lines about a refused connection; ours says it with the remedy.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    parsed = parser().parse_args(arguments)
    memory.own()
    try:
        with _terminable():
            return int(parsed.run(parsed))
    except LipServeError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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
