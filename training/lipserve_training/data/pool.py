"""Work on many items in processes that never outlive this one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from lipserve.errors import SetupError

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], items: Sequence[T], workers: int) -> Generator[R, None, None]:
    """Yield what `work` makes of each item, as it is done. Close it, and the processes end at once.

    Raises:
        SetupError: a process died.
        What `work` raises.
    """
    if workers == 1 or len(items) <= 1:
        yield from map(work, items)
        return
    with _processes(min(workers, len(items)), _end_with_parent) as pool:
        futures = [_submit(pool, work, item) for item in items]
        yield from (future.result() for future in as_completed(futures))


@contextmanager
def drawing(draw: Callable[[int], R], workers: int, threads: int) -> Iterator[Callable[[int], Future[R]]]:
    """Give what draws the batch of a step, ahead of when it is needed.

    Args:
        draw: travels to each process once.
        workers: processes; 0: so many threads of this one.
    """
    if not workers:
        with ThreadPoolExecutor(threads) as pool:
            yield lambda step: pool.submit(draw, step)
        return
    with _processes(workers, _take, draw) as processes:
        yield lambda step: _submit(processes, _draw, step)


_drawn_by: list[Callable[[int], Any]] = []


def _take(draw: Callable[[int], Any]) -> None:
    _end_with_parent()
    _drawn_by.append(draw)


def _draw(step: int) -> Any:
    return _drawn_by[0](step)


@contextmanager
def _processes(workers: int, begin: Callable[..., None], *given: object) -> Iterator[ProcessPoolExecutor]:
    """Give processes that each begin so; whatever goes wrong here ends them at once."""
    others = multiprocessing.active_children()
    # Forked, the processes would inherit locks of this one's threads in whatever state they are.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, begin, given) as pool:
        try:
            yield pool
        except BaseException as error:
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise SetupError(
                    "A worker process died, probably because the memory was full.",
                    "Run the command again with fewer --workers; finished work is kept.",
                ) from error
            raise


def _submit(pool: ProcessPoolExecutor, work: Callable[[T], R], item: T) -> Future[R]:
    """Hand out work; the processes that this starts inherit that Ctrl-C is not for them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(work, item)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with_parent() -> None:
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
