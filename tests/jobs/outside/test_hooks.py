"""Webhooks over real HTTP, from letters in a real queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from standardwebhooks import Webhook

from lipserve_jobs.outside import hooks
from lipserve_jobs.outside.hooks import Herald
from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker, BrokerOptions
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.records import Job, JobRequest, Tenants
from tests.support.nats import NatsServer
from tests.support.sites import Answer, Asked, Site

OURS, OTHERS = "whsec_" + "b3Vycw" * 8, "whsec_" + "dGhlaXJz" * 6
TENANTS = Tenants.of({"tenants": [{"name": "acme", "webhook_secret": OTHERS}]})


class Post:
    """What a test does with jobs and their letters."""

    def __init__(self, broker: Broker) -> None:
        self.broker, self.journal, self.ends = broker, Journal(broker), Ends(broker)

    async def ended(self, webhook: str, state: Any = "done", tenant: str = "beta") -> Job:
        request = JobRequest(video="https://example.com/a.mp4", speech="https://example.com/a.wav")
        job = Job.new(request, tenant).ended_as(state, 3600, webhook=webhook, told="pending")
        await self.journal.create(job)
        await self.ends.tell(job)
        return job

    async def told(self, job: Job, wanted: str) -> None:
        async def look() -> None:
            while True:
                found = await self.journal.get(job.tenant, job.id)
                assert found is not None
                if found.told == wanted:
                    return
                await asyncio.sleep(0.02)

        await asyncio.wait_for(look(), 60)

    async def left(self, stream: str) -> int:
        return (await self.broker.js.stream_info(stream)).state.messages


@pytest.fixture
def run(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what runs a test's coroutine beside a herald."""
    monkeypatch.setattr(hooks, "FIRST_SECONDS", 0.1)
    monkeypatch.setattr(hooks, "LONGEST_SECONDS", 0.3)

    @contextlib.asynccontextmanager
    async def post(private: bool) -> AsyncIterator[Post]:
        broker = await Broker.open(BrokerOptions(nats.url))
        for stream in (names.HOOKS, names.DEAD):
            await broker.js.purge_stream(stream)
        herald = Herald(broker, Journal(broker), TENANTS, secret=OURS, private=private)
        running = asyncio.create_task(herald.run())
        try:
            yield Post(broker)
        finally:
            running.cancel()
            await asyncio.wait([running])
            await broker.close()

    def start(test: Callable[[Post], Any], private: bool = True) -> None:
        async def all_of_it() -> None:
            async with post(private) as given:
                await test(given)

        asyncio.run(all_of_it())

    return start


def _taken(came: Asked, answer: Answer) -> None:
    answer.whole(204)


def test_a_letter_tells_the_job_and_proves_who_says_it(run: Callable[..., None]) -> None:
    with Site(_taken) as site:

        async def test(post: Post) -> None:
            job = await post.ended(site.url("/a?b=c"))
            await post.told(job, "delivered")
            other = await post.ended(site.url("/acme"), "cancelled", "acme")
            await post.told(other, "delivered")
            assert (site.asked[0].path, site.asked[0].method) == ("/a?b=c", "POST")
            told = Webhook(OURS).verify(site.asked[0].body, site.asked[0].headers)
            assert (told["type"], told["id"], told["state"]) == ("job.done", job.id, "done")
            assert site.asked[0].headers["webhook-id"] == f"{job.id}.1.done"
            assert (
                Webhook(OTHERS).verify(site.asked[1].body, site.asked[1].headers)["type"] == "job.cancelled"
            )

        run(test)


def test_a_letter_that_is_not_taken_comes_again_with_the_same_id(run: Callable[..., None]) -> None:
    def third_time(came: Asked, answer: Answer) -> None:
        answer.whole(200 if len(site.asked) > 2 else (500, 404)[len(site.asked) - 1])

    with Site(third_time) as site:

        async def test(post: Post) -> None:
            await post.told(await post.ended(site.url(), "failed"), "delivered")
            assert len({came.headers["webhook-id"] for came in site.asked}) == 1
            assert len(site.asked) == 3

        run(test)


def test_a_letter_that_nobody_takes_is_among_the_dead_letters(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "PATIENCE_SECONDS", 0.5)

    async def test(post: Post) -> None:
        job = await post.ended(site.url("/secret"))
        await post.told(job, "failed")
        (letter,) = [await post.broker.js.get_msg(names.DEAD, (await _last(post)))]
        dead = json.loads(letter.data or b"{}")
        assert (dead["job"], dead["step"], dead["code"]) == (job.id, "hook", "unavailable")
        assert "secret" not in str(dead)
        await _empty(post)

    with Site(lambda came, answer: answer.whole(503)) as site:
        run(test)
    assert len(site.asked) > 2


async def _last(post: Post) -> int:
    return (await post.broker.js.stream_info(names.DEAD)).state.last_seq


async def _empty(post: Post) -> None:
    while await post.left(names.HOOKS):
        await asyncio.sleep(0.02)


def test_who_never_answers_keeps_nobody_else_waiting(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "PATIENCE_SECONDS", 600)
    monkeypatch.setattr(hooks, "ANSWER_SECONDS", 1000.0)

    def never(came: Asked, answer: Answer) -> None:
        answer.closing.wait()

    with Site(never) as silent, Site(_taken, "127.0.0.2") as site:

        async def test(post: Post) -> None:
            for _ in range(100):
                await post.ended(silent.url())
            began = time.monotonic()
            for _ in range(10):
                await post.told(await post.ended(site.url()), "delivered")
            assert time.monotonic() - began < 500  # not one of the silent ones was waited for
            assert len(silent.asked) == 4

        run(test)


def test_an_answer_without_end_is_not_read(run: Callable[..., None]) -> None:
    def endless(came: Asked, answer: Answer) -> None:
        answer.head(200)
        while not answer.closing.is_set():
            answer.write(bytes(100_000))

    with Site(endless) as site:

        async def test(post: Post) -> None:
            await post.told(await post.ended(site.url()), "delivered")

        run(test)


def test_a_host_that_falls_silent_rests_and_is_asked_again(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "ANSWER_SECONDS", 0.2)

    def first_never(came: Asked, answer: Answer) -> None:
        if len(site.asked) == 1:
            answer.closing.wait()
        else:
            answer.whole(200)

    with Site(first_never) as site:

        async def test(post: Post) -> None:
            await post.told(await post.ended(site.url()), "delivered")

        run(test)


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest", "http://127.0.0.1:1/", "http://[::1/"])
def test_a_private_address_is_told_nothing(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(hooks, "REFUSED_SECONDS", 0.2)

    async def test(post: Post) -> None:
        await post.told(await post.ended(address), "failed")
        letter = await post.broker.js.get_msg(names.DEAD, await _last(post))
        assert json.loads(letter.data or b"{}")["code"] == "fetch_failed"

    run(test, private=False)


def test_a_consumer_that_was_lost_is_made_again(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "LOST_SECONDS", 0.05)
    with Site(_taken) as site:

        async def test(post: Post) -> None:
            await post.told(await post.ended(site.url()), "delivered")
            await post.broker.js.delete_consumer(names.HOOKS, "herald")
            await post.told(await post.ended(site.url()), "delivered")

        run(test)


def test_a_letter_is_delivered_once_though_it_comes_twice(run: Callable[..., None]) -> None:
    with Site(_taken) as site:

        async def test(post: Post) -> None:
            job = await post.ended(site.url())
            await post.told(job, "delivered")
            await post.broker.js.publish(names.hook_subject(job.tenant, job.id), b"")
            await _empty(post)
            assert len(site.asked) == 1

        run(test)
