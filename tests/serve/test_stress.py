"""A small, fixed part of `make fuzz`, and a good request after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from stress.cases import case
from stress.judge import Judge
from stress.watch import Memory
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

CASES = [4000, 4020, *(pytest.param(first, marks=pytest.mark.whole) for first in (4010, 4030))]


@pytest.fixture(scope="module")
def judge(server: RunningServer) -> Iterator[Judge]:
    with closing(Judge(server.url, Memory(server.pid))) as made:
        yield made


@pytest.mark.parametrize("first", CASES)
def test_damaged_files_get_a_right_clip_or_a_typed_refusal(judge: Judge, first: int) -> None:
    outcomes = []
    for number in range(first, first + 10):
        sent = case(number)
        verdict = judge.judge(sent)
        assert not verdict.fault, sent.name
        outcomes.append(verdict.outcome)
    assert 0 < outcomes.count("ok") < 10  # damage of both kinds: survived, and refused
    assert not judge.still_right()
