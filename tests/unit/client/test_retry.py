from __future__ import annotations

import random

import pytest

from lipserve.errors import (
    ConnectError,
    DeadlineExceededError,
    InternalError,
    LipServeError,
    ModelNotFoundError,
    ProcessDiedError,
    StorageError,
    UnavailableError,
    VideoError,
)
from lipserve_client._fleet import DEATHS, FIRST_DELAY, LONGEST_DELAY, RETRIES, Retry


def _retry(retries: int = 5, servers: int = 1) -> Retry:
    return Retry(retries, servers, random.Random(7))


@pytest.mark.parametrize("error", [VideoError, InternalError, DeadlineExceededError, LipServeError])
def test_errors_that_a_retry_cannot_help_are_final(error: type[LipServeError]) -> None:
    assert _retry().after(error("x"), 0, known=True) is None


def test_pauses_grow_with_jitter_up_to_a_limit() -> None:
    retry = _retry(retries=8)
    pauses = [retry.after(UnavailableError("x"), 0, known=True) for _ in range(9)]
    assert pauses[8] is None
    for step, pause in enumerate(pauses[:8]):
        longest = min(LONGEST_DELAY, FIRST_DELAY * 2**step)
        assert pause is not None
        assert longest / 2 <= pause <= longest
    assert len(set(pauses)) == 9


@pytest.mark.parametrize("servers", [1, 2, 9])
def test_a_request_that_ends_processes_is_not_sent_again_and_again(servers: int) -> None:
    retry = _retry(retries=RETRIES, servers=servers)
    pauses = [
        retry.after(error("x"), number % servers, known=True)
        for number, error in enumerate([ProcessDiedError, UnavailableError] * DEATHS)
    ]
    assert None not in pauses[: 2 * DEATHS - 2]
    assert pauses[2 * DEATHS - 2] is None


def test_another_server_is_tried_at_once() -> None:
    retry = _retry(servers=3)
    assert retry.after(StorageError("x"), 0, known=True) == 0.0
    assert retry.avoid == {0}
    assert retry.after(StorageError("x"), 2, known=True) == 0.0
    pause = retry.after(StorageError("x"), 1, known=True)
    assert pause is not None
    assert pause >= FIRST_DELAY / 2
    assert retry.avoid == set()


def test_a_missing_model_is_looked_for_once_on_every_server() -> None:
    retry = _retry(servers=2)
    assert retry.after(ModelNotFoundError("x"), 0, known=True) == 0.0
    assert retry.after(ModelNotFoundError("x"), 1, known=True) is None


@pytest.mark.parametrize("first", [0, 1])
def test_a_server_that_comes_back_is_waited_for_where_others_lack_the_model(first: int) -> None:
    """Whichever is asked first: the one that lacks the model costs no try, and is not asked again."""
    retry = _retry(retries=1, servers=2)
    errors = (ModelNotFoundError("x"), UnavailableError("x"))
    assert retry.after(errors[first], first, known=True) == 0.0
    pause = retry.after(errors[1 - first], 1 - first, known=True)
    assert pause is not None
    assert pause >= FIRST_DELAY / 2
    assert retry.avoid == {0}
    assert retry.after(UnavailableError("x"), 1, known=True) is None


def test_a_model_that_is_gone_when_its_server_is_back_is_missing() -> None:
    retry = _retry(servers=2)
    assert retry.after(ModelNotFoundError("x"), 0, known=True) == 0.0
    assert retry.after(UnavailableError("x"), 1, known=True)
    assert retry.after(ModelNotFoundError("x"), 1, known=True) is None


def test_servers_that_never_answered_get_one_more_try() -> None:
    retry = _retry(servers=2)
    pauses = [retry.after(ConnectError("x"), server, known=False) for server in (0, 1, 0, 1)]
    assert pauses[:3] == [0.0, 0.2, 0.0]
    assert pauses[3] is None


def test_retries_of_zero_allow_no_second_try() -> None:
    assert _retry(retries=0, servers=2).after(UnavailableError("x"), 0, known=True) is None


class Hasty(random.Random):
    """Its jitter makes every pause as short as it can be."""

    def uniform(self, a: float, b: float) -> float:
        return a


@pytest.mark.parametrize("servers", [1, 2, 5])
@pytest.mark.parametrize("error", [ConnectError, UnavailableError])
def test_by_default_servers_may_be_away_for_half_a_minute(error: type[LipServeError], servers: int) -> None:
    """All of them at once: each is asked before every pause."""
    retry = Retry(RETRIES, servers, Hasty())
    away = 0.0
    for tries in range(1000):
        pause = retry.after(error("x"), tries % servers, known=True)
        if pause is None:
            break
        away += pause
    assert away >= 30
    assert tries == RETRIES * servers
