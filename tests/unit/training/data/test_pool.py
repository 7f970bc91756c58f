from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from operator import truediv
from pathlib import Path

import psutil
import pytest

from lipserve.errors import SetupError
from lipserve_training.data import pool


def test_one_worker_works_here() -> None:
    assert list(pool.each(lambda number: (number, os.getpid()), [1, 2], 1)) == [
        (1, os.getpid()),
        (2, os.getpid()),
    ]


@pytest.mark.slow
def test_many_workers_do_every_item() -> None:
    assert sorted(pool.each(partial(pow, exp=2), range(5), 2)) == [0, 1, 4, 9, 16]


@pytest.mark.slow
def test_an_error_comes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        list(pool.each(partial(truediv, 1), [1, 0, 2], 2))


@pytest.mark.slow
def test_a_worker_that_dies_is_told() -> None:
    with pytest.raises(SetupError, match="died") as caught:
        list(pool.each(os._exit, [3, 3], 2))
    assert "--workers" in caught.value.remedy


@pytest.mark.slow
def test_a_pool_that_is_closed_early_waits_for_no_worker() -> None:
    with closing(pool.each(time.sleep, [0.0, 60.0, 60.0], 2)) as results:
        next(results)
        begun = time.monotonic()
    assert time.monotonic() - begun < 50  # of the minute that they sleep
    assert multiprocessing.active_children() == []


PROGRAM = """
import time
from lipserve_training.data import pool
if __name__ == "__main__":
    for done in pool.each(time.sleep, [0.0, 0.0, 60.0, 60.0], 2):
        print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_its_parent(end: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == parent.stdout.readline() == b"done\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    assert len(children) >= 2
    os.kill(parent.pid, end)
    parent.communicate(timeout=30)
    _, alive = psutil.wait_procs(children, timeout=30)
    assert alive == []


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_drawn_in_order_wherever_that_is(workers: int) -> None:
    with pool.drawing(partial(pow, 2), workers, threads=1) as submit:
        assert [future.result() for future in [submit(step) for step in range(9)]] == [2**i for i in range(9)]
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_draw_that_is_given_up_leaves_no_process() -> None:
    def give_up() -> None:
        with pool.drawing(time.sleep, 2, threads=1) as submit:
            submit(0).result()
            submit(60)
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert time.monotonic() - begun < 50  # of the minute that they sleep
    assert multiprocessing.active_children() == []
