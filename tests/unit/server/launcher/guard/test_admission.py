"""Who is at work, who waits, who is refused."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest

from lipserve.contracts import of_tier
from lipserve.errors import CancelledError, ServerFullError, UnavailableError
from lipserve_server.inside.limits import MIB, Limits
from lipserve_server.launcher.guard.admission import Admission, entrances
from tests.support.waiting import until


def waiting(admission: Admission, count: int) -> Callable[[], bool]:
    return lambda: admission.queue(["m"])[0] == count


class Caller:
    """A request in a thread, which holds its place until it is let go."""

    def __init__(
        self, admission: Admission, model: str = "m", size: int = 1, client: str = "somebody"
    ) -> None:
        self.admission, self.client = admission, client
        self.began, self.done, self.gone = threading.Event(), threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=(model, size))
        self.thread.start()

    def _run(self, model: str, size: int) -> None:
        try:
            with (
                self.admission.accepted(self.client),
                self.admission.place(model, size, self.gone.is_set, self.client),
            ):
                self.began.set()
                self.done.wait(10)
        except UnavailableError as error:
            self.error = error
        except CancelledError as error:
            self.error = error

    def leave(self) -> None:
        self.gone.set()
        self.admission.wake()
        self.thread.join(10)

    def end(self) -> None:
        self.done.set()
        self.thread.join(10)


def end_all(*callers: Caller) -> None:
    """Let every request end, whichever has its place first."""
    for caller in callers:
        caller.done.set()
    for caller in callers:
        caller.end()


def test_requests_at_work_are_as_many_as_places_and_the_others_follow_in_order() -> None:
    admission = Admission({"m": 2}, Limits(waiting=3))
    callers: list[Caller] = []
    for count in range(5):
        callers.append(Caller(admission))
        if count < 2:
            assert callers[-1].began.wait(10)
        until(waiting(admission, max(0, count - 1)))
    assert [caller.began.is_set() for caller in callers] == [True, True, False, False, False]
    assert admission.idle_seconds() == 0
    with pytest.raises(ServerFullError) as caught, admission.place("m", 1, lambda: False, "somebody"):
        pass
    assert caught.value.retryable
    for index, caller in enumerate(callers):
        assert caller.began.wait(10)
        later = [other.began.is_set() for other in callers[index + 2 :]]
        assert not any(later), "one overtook another"
        caller.end()
    assert admission.idle_seconds() > 0
    assert admission.queue(["m"]) == (0, 0.0)


def test_a_caller_who_leaves_makes_room_at_once() -> None:
    admission = Admission({"m": 1}, Limits(waiting=1))
    first, second = Caller(admission), None
    assert first.began.wait(10)
    second = Caller(admission)
    until(waiting(admission, 1))
    second.leave()
    assert isinstance(second.error, CancelledError)
    third = Caller(admission)
    until(waiting(admission, 1))
    first.end()
    assert third.began.wait(10)
    third.end()


def test_bytes_are_bounded_and_one_request_alone_may_be_larger() -> None:
    admission = Admission({"m": 2, "n": 2}, Limits(accepted_mib=2))
    alone = Caller(admission, size=5 * MIB)
    assert alone.began.wait(10)
    refused = Caller(admission, "n", size=1)
    refused.thread.join(10)
    assert isinstance(refused.error, ServerFullError)
    alone.end()
    both = [Caller(admission, "n", size=MIB) for _ in range(2)]
    assert all(caller.began.wait(10) for caller in both)
    for caller in both:
        caller.end()


def test_a_lane_does_not_wait_for_another() -> None:
    admission = Admission({"m": 1, "n": 1}, Limits())
    callers = [Caller(admission), Caller(admission), Caller(admission, "n"), Caller(admission, "unknown")]
    assert callers[2].began.wait(10)
    assert callers[3].began.wait(10)
    for caller in callers:
        caller.end()


def test_requests_wait_for_a_model_that_is_started_anew() -> None:
    admission = Admission({"m": 1, "n": 1}, Limits())
    with admission.held_back(["m", "not held"]):
        held, other = Caller(admission), Caller(admission, "n")
        assert other.began.wait(10)
        assert admission.quiet(["m", "not held"], 0.0)
        assert not admission.quiet(["m", "n"], 0.01)
        assert not held.began.is_set()
        assert admission.queue(["m"])[0] == 1
    assert held.began.wait(10)
    held.end()
    other.end()


def test_a_drain_waits_for_what_is_accepted_and_refuses_what_comes() -> None:
    admission = Admission({"m": 1}, Limits())
    callers = [Caller(admission), Caller(admission)]
    until(waiting(admission, 1))
    admission.close()
    with pytest.raises(UnavailableError, match="draining"), admission.accepted():
        pass
    assert not admission.drained(0.01)
    for caller in callers:
        caller.end()
    assert [caller.error for caller in callers] == [None, None]
    assert admission.drained(10)


def test_the_age_is_that_of_the_oldest() -> None:
    admission = Admission({"m": 1}, Limits())
    callers = [Caller(admission), Caller(admission)]
    until(waiting(admission, 1))
    time.sleep(0.05)
    callers.append(Caller(admission))
    until(waiting(admission, 2))
    assert admission.queue(["m"])[1] >= 0.05
    for caller in callers:
        caller.end()


def test_without_a_leaf_its_tiers_cannot_be_served() -> None:
    assert {"wav2lip", "wav2lip_preprocess", "postprocess"} < entrances("wav2lip_generator")
    assert "lipwarp" not in entrances("wav2lip_generator")
    assert {"lipwarp", "wav2lip", "latentsync"} < entrances("face_detector")
    assert "latentsync" in entrances("face_landmarks_106")
    assert "lipwarp" not in entrances("face_landmarks_106")
    assert {model.name for model in of_tier("lipwarp") if model.kind != "leaf"} < entrances("lip_motion")


def test_a_client_that_comes_late_begins_at_once_and_the_places_are_shared_from_then_on() -> None:
    admission = Admission({"m": 4}, Limits(waiting=20))
    many = [Caller(admission, client="many") for _ in range(10)]
    until(waiting(admission, 6))
    one = Caller(admission, client="one")
    assert one.began.wait(10), "it has a place above the four"
    at_work = [caller for caller in many if caller.began.is_set()]
    for caller in at_work[:2]:
        caller.end()
    assert sum(caller.began.is_set() for caller in many) == 4, "two are the share of either"
    at_work[2].end()
    until(waiting(admission, 5))
    one.end()
    until(waiting(admission, 3))
    end_all(*many)


def test_where_no_more_may_wait_the_client_with_the_most_gives_a_place() -> None:
    admission = Admission({"m": 1}, Limits(waiting=3))
    many = [Caller(admission, client="many") for _ in range(4)]
    until(waiting(admission, 3))
    one, other = Caller(admission, client="one"), Caller(admission, client="one")
    until(lambda: sum(isinstance(caller.error, ServerFullError) for caller in many) == 1)
    assert one.error is other.error is None
    with pytest.raises(ServerFullError), admission.place("m", 1, lambda: False, "many"):
        pass
    end_all(*many, one, other)
    assert one.began.is_set()
    assert other.began.is_set()
    assert admission.idle_seconds() >= 0
    assert admission.drained(0)


def test_bytes_of_the_client_with_the_most_make_room_for_those_of_another() -> None:
    admission = Admission({"m": 1}, Limits(accepted_mib=10))
    many = [Caller(admission, size=3 * MIB, client="many") for _ in range(3)]
    until(waiting(admission, 2))
    one = Caller(admission, size=3 * MIB, client="one")
    until(lambda: any(caller.error for caller in many))
    assert one.error is None
    end_all(*many, one)
    with admission.place("m", 10 * MIB, lambda: False, "many"):
        pass  # every byte has been given back


def test_a_client_with_few_requests_is_accepted_above_the_capacity() -> None:
    admission = Admission({"m": 1}, Limits(waiting=2))
    held = contextlib.ExitStack()
    with held:
        while True:
            try:
                held.enter_context(admission.accepted("many"))
            except ServerFullError:
                break
        held.enter_context(admission.accepted("one"))
        with pytest.raises(ServerFullError), admission.accepted("many"):
            pass
    assert admission.drained(0)


def test_a_client_whose_requests_have_waited_too_long_gets_no_more_of_them_in() -> None:
    admission = Admission({"m": 1}, Limits(waiting_seconds=1))
    many = [Caller(admission, client="many") for _ in range(2)]
    until(waiting(admission, 1))
    until(lambda: admission.queue(["m"])[1] > 1)
    with pytest.raises(ServerFullError), admission.place("m", 1, lambda: False, "many"):
        pass
    one = Caller(admission, client="one")
    assert one.began.wait(10)
    end_all(*many, one)
    assert one.error is None


def test_lanes_share_the_cores_that_they_work_on() -> None:
    """One for each core, of whatever model; a client that comes late begins at once."""
    admission = Admission({"m": 6, "n": 2, "leaf": 1}, Limits(), cores=3, apart={"leaf"})
    many = [Caller(admission, "n", client="many") for _ in range(2)]
    until(lambda: all(caller.began.is_set() for caller in many))
    many += [Caller(admission, client="many") for _ in range(6)]
    until(waiting(admission, 5))
    assert sum(caller.began.is_set() for caller in many) == 3
    small = Caller(admission, "leaf", client="many")
    assert small.began.wait(10), "it is not counted"
    small.end()
    one = Caller(admission, client="one")
    assert one.began.wait(10)
    for caller in many[:2]:
        caller.end()
    assert admission.queue(["m"])[0] == 5, "three places have two clients: one for either"
    one.end()
    until(waiting(admission, 3))
    end_all(*many)


def test_where_a_client_has_waited_too_long_for_its_turn_all_are_refused_that_would_wait() -> None:
    admission = Admission({"m": 1}, Limits(turn_seconds=1))
    clients = [Caller(admission, client="first"), Caller(admission, client="above")]
    assert all(caller.began.wait(10) for caller in clients)
    clients.append(Caller(admission, client="waits"))
    until(waiting(admission, 1))
    until(lambda: admission.queue(["m"])[1] > 1)
    with pytest.raises(ServerFullError), admission.place("m", 1, lambda: False, "comes"):
        pass
    end_all(*clients)
    assert clients[-1].error is None
    with admission.place("m", 1, lambda: False, "comes"):
        pass


def test_the_backlog_of_one_client_refuses_nobody_else() -> None:
    """Of its hundred clips one waits for long, and yet the client has its turns."""
    admission = Admission({"m": 1}, Limits(turn_seconds=1))
    many = [Caller(admission, client="many") for _ in range(4)]
    until(waiting(admission, 3))
    until(lambda: admission.queue(["m"])[1] > 1)
    next(caller for caller in many if caller.began.is_set()).end()
    until(waiting(admission, 2))
    others = [Caller(admission, client=name) for name in ("one", "other", "third")]
    until(waiting(admission, 4))
    assert [caller.error for caller in others] == [None] * 3
    end_all(*many, *others)
