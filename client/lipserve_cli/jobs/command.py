"""The command `lipserve jobs`: the table of its own commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lipserve_cli.main import Parser

_SENDING = {
    "submit": "send a job",
    "list": "list jobs",
    "get": "show a job",
    "wait": "wait for a job, and fetch its result",
    "cancel": "end jobs at once",
    "retry": "begin jobs anew that failed or were cancelled",
    "erase": "remove jobs and all that belongs to them",
    "batch": "send many jobs together",
    "usage": "show what was used in this month",
}
_SERVICE = {
    "up": "run the whole service on this machine",
    "gateway": "run a gateway: the HTTP interface, and the page",
    "worker": "run a worker: it carries out steps of jobs",
}
_EPILOG = """\
examples:
  lipserve jobs up
  lipserve jobs submit film.mp4 speech.wav --wait -o out.mp4
  lipserve jobs list
"""


def configure(parser: Parser) -> None:
    parser.description = (
        "Send a film, close the laptop, get the result: a service that takes jobs, keeps them through "
        "restarts, and makes them on as many machines as there are."
    )
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, text in (_SENDING | _SERVICE).items():
        own = commands.add_parser(name, help=text)
        own.module = f"lipserve_cli.jobs.{name}"
        if name in _SERVICE:  # what sends jobs is in the package itself
            own.set_defaults(extra="jobs")
