"""When Triton is started anew, and when no more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lipserve.errors import SetupError
from lipserve_server.inside.limits import Limits
from lipserve_server.launcher import keeper
from lipserve_server.launcher.guard.admission import Admission
from lipserve_server.launcher.keeper import ENDS, KEPT_BYTES, Keeper
from tests.support.waiting import until


class Triton:
    """One that ends and keeps memory as a test says; starting it anew takes a while."""

    def __init__(self, comes: bool = True) -> None:
        self.comes, self.starts, self.bytes = comes, 0, 0
        self.down = threading.Event()
        self.coming = threading.Event()
        self.may_come = threading.Event()
        self.may_come.set()

    def ended(self) -> bool:
        return self.down.is_set()

    def kept(self) -> int:
        return self.bytes

    def again(self) -> None:
        self.coming.set()
        assert self.may_come.wait(30)
        if not self.comes:
            raise SetupError("Triton ended (1).", "The end of its log:")
        self.starts += 1
        self.bytes = 0
        self.down.clear()


@contextmanager
def kept(triton: Triton) -> Iterator[tuple[Keeper, Admission]]:
    admission = Admission({"model": 1}, Limits())
    made = Keeper(triton, admission, logging.getLogger("test"))
    made.start()
    yield made, admission
    made.end()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK_SECONDS", 0.001)


def test_a_triton_that_ends_is_started_anew_and_requests_wait_for_it() -> None:
    triton = Triton()
    triton.may_come.clear()
    asked = threading.Event()
    with kept(triton) as (_, admission):
        triton.down.set()
        assert triton.coming.wait(30)

        def ask() -> None:
            with admission.place("model", 1, lambda: False):
                asked.set()

        request = threading.Thread(target=ask)
        request.start()
        assert not asked.wait(0.05)
        triton.may_come.set()
        assert asked.wait(30)
        request.join()
        assert triton.starts == 1


def test_a_triton_that_ends_again_and_again_is_given_up() -> None:
    triton = Triton()
    with kept(triton) as (made, _):
        for number in range(1, ENDS):
            triton.down.set()
            until(lambda number=number: triton.starts == number)  # type: ignore[misc]
        assert not made.gave_up
        triton.down.set()
        until(lambda: made.gave_up)
    assert triton.starts == ENDS - 1


def test_a_triton_that_does_not_start_again_is_given_up() -> None:
    triton = Triton(comes=False)
    with kept(triton) as (made, admission):
        triton.down.set()
        until(lambda: made.gave_up)
        with admission.place("model", 1, lambda: False):  # whoever waits hears of it
            pass


def test_memory_of_dead_processes_is_freed_by_a_restart_at_rest_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "REST_SECONDS", 0.2)
    triton = Triton()
    with kept(triton) as (_, admission):
        with admission.accepted():
            triton.bytes = KEPT_BYTES + 1
            time.sleep(0.3)
            assert triton.starts == 0
        until(lambda: triton.starts == 1)
        triton.bytes = KEPT_BYTES
        time.sleep(0.3)
        assert triton.starts == 1


def test_a_triton_that_was_stopped_is_not_started_anew() -> None:
    triton = Triton()
    with kept(triton) as (made, _):
        made.rest()
        assert made.resting
        triton.down.set()
        time.sleep(0.05)
        assert triton.starts == 0
        assert not made.gave_up
