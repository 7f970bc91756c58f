from __future__ import annotations

from lipserve_client._fleet import FIRST_REST, LONGEST_REST, Balancer


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_takes_turns() -> None:
    balancer = Balancer(3)
    assert [balancer.pick() for _ in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_a_failed_server_rests_and_comes_back() -> None:
    clock = Clock()
    balancer = Balancer(3, clock)
    balancer.failed(1)
    assert [balancer.pick() for _ in range(4)] == [0, 2, 0, 2]
    clock.now += FIRST_REST
    assert [balancer.pick() for _ in range(3)] == [0, 1, 2]


def test_rests_grow_to_a_limit_and_success_ends_them() -> None:
    clock = Clock()
    balancer = Balancer(2, clock)
    for _ in range(10):
        balancer.failed(0)
    clock.now += LONGEST_REST - 0.1
    assert [balancer.pick() for _ in range(2)] == [1, 1]
    balancer.worked(0)
    assert balancer.pick() == 0


def test_avoids_what_it_is_told_to() -> None:
    balancer = Balancer(3)
    assert {balancer.pick({0, 2}) for _ in range(4)} == {1}


def test_with_nowhere_else_to_go_it_still_picks() -> None:
    clock = Clock()
    balancer = Balancer(2, clock)
    balancer.failed(0)
    balancer.failed(0)
    balancer.failed(1)
    assert balancer.pick() == 1  # its rest ends first
    assert balancer.pick({0, 1}) == 1
