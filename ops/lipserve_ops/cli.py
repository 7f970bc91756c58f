"""The command `lipserve-ops`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from lipserve.errors import InputError, LipServeError, ServerError, SetupError, TransportError

_EPILOG = """\
examples:
  lipserve-ops status --watch
  lipserve-ops build-engines
  lipserve-ops drain lipserve-5d8f9c7b6-x2x7k
  lipserve-ops smoke

exit codes:
  0 success                  1 not ready, or a check or a Job failed
  2 the input is refused     3 the server failed     4 no answer
  5 the cluster refuses or lacks something           130 interrupted
"""
_CODES = ((InputError, 2), (ServerError, 3), (TransportError, 4), (LipServeError, 5))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    try:
        from lipserve_ops import build_engines, drain, smoke, status
        from lipserve_ops.arguments import Formatter
    except ImportError as error:
        raise SetupError(
            f"The operator's tool is not installed ({error}).", "Install it: pip install 'lipserve[ops]'"
        ) from error
    root = argparse.ArgumentParser(
        prog="lipserve-ops",
        description="Operate a release of LipServe on Kubernetes. It calls the cluster as kubectl\n"
        "does; `lipserve-ops COMMAND --help` explains each command.",
        epilog=_EPILOG,
        formatter_class=Formatter,
    )
    root.add_argument("--version", action="version", version=f"lipserve-ops {version('lipserve')}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (status, build_engines, drain, smoke):
        module.add(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code. A failure is one line on stderr: what, and the remedy."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        parsed = parser().parse_args(arguments)
        return int(parsed.run(parsed))
    except LipServeError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return next(code for cls, code in _CODES if isinstance(error, cls))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
