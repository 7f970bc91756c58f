"""Whose turn it is, and who gives a place away."""

from __future__ import annotations

import time

import pytest

from lipserve_server.launcher.guard.lane import Lane, Ticket, spare
from lipserve_server.launcher.guard.places import Places


def lane_of(clients: str, places: int = 1) -> Lane:
    """Return a lane in which one request of each letter's client waits, in this order."""
    lane = Lane(Places(places))
    for number, client in enumerate(clients):
        lane.enter(Ticket(client, 1, since=float(number)))
    return lane


def order(lane: Lane) -> str:
    """Return the clients in the order of their turns, where each request ends before the next begins."""
    found = ""
    while lane.waiting:
        ticket = lane.next()
        lane.leave(ticket)
        lane.begin(ticket)
        lane.end(ticket)
        found += ticket.client
    return found


@pytest.mark.parametrize(
    ("came", "served"),
    [("aaaa", "aaaa"), ("aaaab", "abaaa"), ("aaabbb", "ababab"), ("aaabbc", "abcaba"), ("aabab", "ababa")],
)
def test_clients_take_turns(came: str, served: str) -> None:
    assert order(lane_of(came)) == served


def test_a_client_with_requests_at_work_comes_after_one_with_none() -> None:
    lane = lane_of("aaab", places=3)
    for _ in range(2):
        lane.begin(Ticket("a", 1))
    assert lane.busy == 2
    assert lane.next().client == "b"


def test_the_requests_of_one_client_keep_their_order() -> None:
    lane = lane_of("abab")
    first = lane.next()
    assert first is lane.waiting[0]


def test_of_many_clients_the_last_turns_are_remembered_and_no_more() -> None:
    lane = Lane(Places(1))
    for number in range(10_000):
        ticket = Ticket(str(number), 1)
        lane.begin(ticket)
        lane.end(ticket)
    assert len(lane._turns) == 256
    assert lane.busy == 0


@pytest.mark.parametrize(
    ("waiting", "client", "number"),
    [
        ("aaab", "c", 2),
        ("aaab", "b", 2),
        ("aab", "b", None),
        ("abbb", "a", 3),
        ("aaaa", "a", None),
        ("", "a", None),
    ],
)
def test_the_last_request_of_the_client_with_the_most_gives_its_place(
    waiting: str, client: str, number: int | None
) -> None:
    tickets = lane_of(waiting).waiting
    found = spare(tickets, client)
    assert found is (None if number is None else tickets[number])


def test_a_request_gives_its_place_once() -> None:
    tickets = lane_of("aaa").waiting
    tickets[2].dropped = True
    assert spare(tickets, "b") is tickets[1]


def test_clients_without_a_request_at_work_get_places_above_them_up_to_half_as_many() -> None:
    lane = Lane(Places(4))
    for _ in range(4):
        lane.begin(Ticket("a", 1))
    begun = [client for client in "bcdef" if _begins(lane, client)]
    assert begun == ["b", "c"]
    assert lane.busy == 6


def _begins(lane: Lane, client: str) -> bool:
    """Let a client's request begin where there is a place for it."""
    taken = lane.takes(client)
    if taken:
        lane.begin(Ticket(client, 1))
    return taken


def test_a_model_that_is_held_back_takes_nobody() -> None:
    lane = Lane(Places(4))
    lane.held = 1
    assert not lane.takes("a")


def test_a_client_is_overdue_since_it_came_or_had_its_last_turn() -> None:
    now = time.monotonic()
    lane = Lane(Places(1))
    assert lane.overdue() == 0
    for client, age in (("a", 90.0), ("a", 80.0), ("b", 50.0)):
        lane.enter(Ticket(client, 1, since=now - age))
    assert lane.overdue() >= 90
    lane.begin(Ticket("a", 1))
    assert 50 <= lane.overdue() < 80, "the one whose other request has just begun is not overdue"
    lane.begin(Ticket("b", 1))
    assert lane.overdue() < 50
