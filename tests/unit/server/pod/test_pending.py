"""The age of the oldest waiting segment, against a queue whose every event is known."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve_server.pod.pending import OldestPending


def test_age_is_zero_without_waiting_segments() -> None:
    assert OldestPending().sample(10.0, begun=7, waiting=0) == 0.0


def test_age_of_the_oldest_segment_grows_until_it_is_begun() -> None:
    pending = OldestPending()
    assert pending.sample(0.0, 0, 0) == 0.0
    assert pending.sample(1.0, 1, 2) == 0.0  # three arrived, one was begun
    assert pending.sample(5.0, 1, 2) == 4.0
    assert pending.sample(6.0, 1, 3) == 5.0  # a third one waits
    assert pending.sample(7.0, 3, 1) == 1.0  # the two old ones were begun
    assert pending.sample(8.0, 4, 0) == 0.0


def test_the_queue_at_the_first_look_counts_from_there() -> None:
    pending = OldestPending()
    assert pending.sample(100.0, 50, 3) == 0.0
    assert pending.sample(101.0, 50, 3) == 1.0


def test_a_segment_between_both_counters_keeps_the_others_their_age() -> None:
    """It waits no longer, and is counted as begun only at the next look."""
    pending = OldestPending()
    pending.sample(0.0, 0, 1)
    pending.sample(1.0, 0, 2)
    assert pending.sample(2.0, 0, 1) == 2.0  # the first one, for one look too long
    assert pending.sample(3.0, 1, 1) == 2.0  # the second one


def test_a_phantom_leaves_the_oldest_its_age() -> None:
    """A canary is counted for one look."""
    pending = OldestPending()
    pending.sample(0.0, 0, 1)
    pending.sample(10.0, 0, 2)
    assert pending.sample(11.0, 0, 1) == 11.0
    assert pending.sample(12.0, 0, 1) == 12.0
    assert pending.sample(13.0, 1, 0) == 0.0


def test_segments_of_a_dead_process_are_given_up() -> None:
    pending = OldestPending()
    pending.sample(0.0, 0, 4)
    assert pending.sample(1.0, 0, 0) == 0.0
    pending.sample(2.0, 0, 0)
    assert pending.sample(3.0, 0, 1) == 0.0
    assert pending.sample(5.0, 0, 1) == 2.0


def test_a_restarted_counter_is_no_jump() -> None:
    pending = OldestPending()
    pending.sample(0.0, 1000, 2)
    assert pending.sample(1.0, 1, 1) == 1.0  # one of the two was begun by a new process
    assert pending.sample(2.0, 2, 0) == 0.0


# Seconds between two looks; in each interval whether segments arrive (True) or are begun (False), and when.
EVENTS = st.lists(
    st.tuples(
        st.floats(0.1, 5.0), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans()), max_size=6)
    ),
    max_size=30,
)


@given(EVENTS)
def test_the_age_is_true_to_one_interval(intervals: list[tuple[float, list[tuple[float, bool]]]]) -> None:
    pending, queue = OldestPending(), deque[float]()
    now, begun, longest = 0.0, 0, 0.0
    pending.sample(now, 0, 0)
    for seconds, events in intervals:
        for part, arrives in sorted(events):
            if arrives:
                queue.append(now + part * seconds)
            elif queue:
                queue.popleft()
                begun += 1
        now += seconds
        longest = max(longest, seconds)
        age = pending.sample(now, begun, len(queue))
        truth = now - queue[0] if queue else 0.0
        assert truth - longest - 1e-9 <= age <= truth + 1e-9


@given(EVENTS, st.data())
def test_counts_are_right_again_after_any_disturbance(
    intervals: list[tuple[float, list[tuple[float, bool]]]], data: st.DataObject
) -> None:
    """Numbers that no queue could have, then a quiet queue: after two looks the age counts again."""
    pending, now, begun = OldestPending(), 0.0, 0
    for seconds, _ in intervals:
        now += seconds
        begun = data.draw(st.integers(0, 50))
        waiting = data.draw(st.integers(0, 20))
        assert 0.0 <= pending.sample(now, begun, waiting) <= now
    for _ in range(2):
        now += 1.0
        pending.sample(now, begun, 0)
    assert pending.sample(now + 1, begun, 1) == 0.0
    assert pending.sample(now + 4, begun, 1) == pytest.approx(3.0)
