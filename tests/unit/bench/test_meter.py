"""CPU time of a block, over processes that come and go in it."""

from __future__ import annotations

import subprocess
import sys

from bench.meter import Meter
from tests.support.waiting import until

BURN = "import sys, time\nwhile time.process_time() < 0.6: pass\nprint('burnt', flush=True)\nsys.stdin.read()"


def burning() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def end(process: subprocess.Popen[bytes]) -> None:
    process.communicate()
    assert process.returncode == 0


def test_what_a_process_spent_before_is_not_counted_and_its_end_takes_nothing_away() -> None:
    process = burning()
    assert process.stdout is not None
    assert process.stdout.readline() == b"burnt\n"
    with Meter() as meter:
        end(process)
    assert 0 <= meter.cpu < 0.5


def test_a_process_that_comes_and_goes_is_counted() -> None:
    with Meter() as meter:
        process = burning()
        assert process.stdout is not None
        assert process.stdout.readline() == b"burnt\n"
        until(lambda: sum(meter._spent.values()) - meter._before > 0.5, "the meter has seen it")
        end(process)
    assert meter.cpu >= 0.5
    assert meter.peak > 10_000_000
