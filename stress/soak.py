"""Some minutes of everything at once: good, bad, cancelled and huge requests, and processes that are killed.

    python -m stress.soak [--minutes 4] [--seed 1247] [--without huge kill] [--folder build/soak]

Writes report.json. The exit status is 1 where a good request was lost or answered with other bytes, where an
answer was untyped, or where the server holds more than 1.3 times the memory of before once it is at rest.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Container
from contextlib import suppress
from random import Random
from typing import Any

import psutil
from rich.console import Console

from lipserve import CancelToken, Client
from lipserve.errors import CancelledError, LipServeError
from stress import arguments, seeds
from stress.cases import case
from stress.served import Served, served
from stress.watch import Memory

GROWTH = 1.3
KINDS = ("bad", "cancelled", "huge", "kill")  # of what is done beside good requests
_WARM = 12  # good requests, until memory is what it stays
_HUGE = 48 << 20  # bytes that a video is padded by
_BETWEEN_KILLS = (4.0, 10.0)  # seconds
_REST = 60.0  # seconds, at most, until what grew is given back
_STAGE = "triton_python_b"  # how the kernel names a stage process


class Soak:
    """A server under way, and what became of its requests: counts by kind, and what went wrong."""

    def __init__(self, server: Served, seed: int) -> None:
        self._url, self._seed, self.memory = server.url, seed, Memory(server.pid)
        self._over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._video, self._speech = seeds.good()
        self._padded = self._video + struct.pack(">I4s", 8 + _HUGE, b"free") + bytes(_HUGE)
        with Client(self._url, provenance=False) as client:
            self._right = self._made(client, self._video)
        self._warm()

    def run(self, seconds: float, without: Container[str] = ()) -> None:
        """Do everything at once for so long, save what is left out: some of `KINDS`."""
        parts = (self._good, self._good, self._bad, self._cancelled, self._huge, self._kill)
        threads = [
            threading.Thread(target=self._repeat, args=(part, Random(self._seed + number)))
            for number, part in enumerate(parts)
            if _name(part) not in without
        ]
        for thread in threads:
            thread.start()
        self._over.wait(seconds)
        self._over.set()
        for thread in threads:
            thread.join()

    def at_rest(self, wanted: float) -> int:
        """Return what is held after a rest, until it is as little as is wanted, and some good requests."""
        until = time.monotonic() + _REST
        while self.memory.held() > wanted and time.monotonic() < until:
            time.sleep(1)
        try:
            self._warm()  # what is being started anew holds little
        except LipServeError as error:
            self.faults.append(f"after the rest: {error!r}")
        return self.memory.held()

    def _warm(self) -> None:
        with Client(self._url, provenance=False) as client:
            for _ in range(_WARM):
                self._good(client, Random())

    def _repeat(self, part: Callable[[Client, Random], None], random: Random) -> None:
        with Client(self._url, provenance=False) as client:
            while not self._over.is_set():
                try:
                    part(client, random)
                except Exception as error:
                    self.faults.append(f"{_name(part)}: {error!r}")

    def _made(self, client: Client, video: bytes) -> bytes:
        made = client.dub(video, self._speech, on_no_face="passthrough").content
        assert isinstance(made, bytes)
        return made

    def _good(self, client: Client, random: Random) -> None:
        self._expect(self._made(client, self._video), "good")

    def _huge(self, client: Client, random: Random) -> None:
        self._expect(self._made(client, self._padded), "huge")
        self._over.wait(random.uniform(1, 4))

    def _expect(self, result: bytes, kind: str) -> None:
        self.counts[kind] += 1
        if result != self._right:
            self.faults.append(f"{kind}: other bytes than before")

    def _bad(self, client: Client, random: Random) -> None:
        sent = case(random.randrange(1 << 20))
        with suppress(LipServeError):
            client.dub(*sent.files, on_no_face="passthrough")
        self.counts["bad"] += 1

    def _cancelled(self, client: Client, random: Random) -> None:
        cancel = CancelToken()
        timer = threading.Timer(random.uniform(0, 0.5), cancel.cancel)
        timer.start()
        with suppress(CancelledError):
            client.dub(self._video, self._speech, cancel=cancel)
        timer.join()
        self.counts["cancelled"] += 1

    def _kill(self, client: Client, random: Random) -> None:
        self._over.wait(random.uniform(*_BETWEEN_KILLS))
        stages = [process for process in self.memory.processes() if process.name().startswith(_STAGE)]
        with suppress(psutil.NoSuchProcess):
            random.choice(stages).kill()
            self.counts["kills"] += 1


def _name(part: Callable[[Client, Random], None]) -> str:
    return part.__name__.strip("_")


def main() -> int:
    args = _arguments()
    args.folder.mkdir(parents=True, exist_ok=True)
    with served(args.repository, args.folder / "triton.log") as server:
        soak = Soak(server, args.seed)
        before = soak.memory.held()
        soak.run(60 * args.minutes, args.without)
        after = soak.at_rest(GROWTH * before)
    if after > GROWTH * before:
        soak.faults.append(f"memory: {after / before:.2f} times that of before")
    report: dict[str, Any] = {
        **soak.counts,
        "mib_before": before >> 20,
        "mib_after": after >> 20,
        "faults": soak.faults,
    }
    (args.folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    Console(stderr=True).print(report)
    return 1 if soak.faults else 0


def _arguments() -> argparse.Namespace:
    parser = arguments.parser("soak", __doc__)
    parser.add_argument("--minutes", type=float, default=4, metavar="M", help="default %(default)s")
    parser.add_argument("--seed", type=int, default=1247, metavar="N", help="of what is sent and killed when")
    parser.add_argument(
        "--without", nargs="*", choices=KINDS, default=(), metavar="KIND", help=f"of {', '.join(KINDS)}"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(arguments.ended(main))
