"""The command `lipserve`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from lipserve.errors import LipServeError
from lipserve_client._commands import bench, compare, health, models, serve, smoke, sync
from lipserve_client._commands.arguments import Formatter
from lipserve_client._exit import EXIT_INTERRUPTED, exit_code

_EPILOG = """\
examples:
  lipserve serve &                                   start a server on this machine
  lipserve sync video.mp4 speech.wav -o out.mp4      lip-sync a video
  lipserve health --deep                             check every model with a small request
  lipserve smoke                                     send a clip of its own, check the result
  lipserve compare video.mp4 speech.wav -o DIR       two generators side by side

exit codes:
  0 success      2 the input or an argument is refused     3 the server failed
  4 no answer    5 this machine lacks something            130 interrupted
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = argparse.ArgumentParser(
        prog="lipserve",
        description="Lip-sync as a service: a video and a speech in, the same video with lips that\n"
        "follow the speech out. `lipserve COMMAND --help` explains each command.",
        epilog=_EPILOG,
        formatter_class=Formatter,
    )
    root.add_argument("--version", action="version", version=f"lipserve {version('lipserve')}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (sync, serve, models, health, smoke, bench, compare):
        module.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. A failure is one line on stderr: what, and the remedy."""
    # gRPC's C core writes its own lines about a refused connection; ours says it with the remedy.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    parsed = parser().parse_args(arguments)
    try:
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
