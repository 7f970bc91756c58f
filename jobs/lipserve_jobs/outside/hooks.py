"""Webhooks: whoever a job names is told of its end, again and again for a day."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import BadRequestError
from prometheus_client import Counter as Counted

from lipserve.errors import ConnectError, FetchError, LipServeError, UnavailableError
from lipserve_jobs.outside.letters import letter, signed
from lipserve_jobs.outside.web import refused_status, visitor
from lipserve_jobs.queue import cancellation, names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.ends import Ends
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import Step
from lipserve_jobs.records import Fault, Job, Tenants
from lipserve_jobs.records.job import Told
from lipserve_jobs.records.roster import Roster

log = logging.getLogger("lipserve.jobs")
TRIES = Counted("lipserve_jobs_webhooks", "Tries to tell a webhook; failed: given up", ["outcome"])
for _outcome in ("delivered", "retried", "failed"):
    TRIES.labels(_outcome)

ANSWER_SECONDS = 10.0
FIRST_SECONDS = 5.0
"""Before the second try; each later one waits about as long as all before it took together."""
LONGEST_SECONDS = 3 * 3600.0
PATIENCE_SECONDS = 86_400.0
"""A letter that nobody takes for so long is among the dead letters."""
REFUSED_SECONDS = 600.0
"""And so is, after so long, one whose address is refused, or proves nothing."""
LOST_SECONDS = 1.0
_AT_ONCE = 64
_MOST_HOSTS = 4096
_PER_HOST = 4
_ACK_SECONDS = 60.0
_HOOK = Step("hook")


@dataclass
class _Host:
    """A host of a tenant: tries in flight, those in a row that got no answer, and until when it has rest."""

    busy: int = 0
    silent: int = 0
    rests_until: float = 0.0


class Herald:
    """Delivers letters to webhooks.

    Args:
        secret: signs letters of tenants that have none of their own; None: those go unsigned.
        private: whether webhooks may have addresses that are not public.
    """

    def __init__(
        self,
        broker: Broker,
        journal: Journal,
        tenants: Tenants | Roster,
        *,
        secret: str | None = None,
        private: bool = False,
    ) -> None:
        self._broker, self._journal, self._tenants = broker, journal, tenants
        self._ends, self._secret, self._private = Ends(broker), secret, private
        self._hosts: dict[tuple[str, str], _Host] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Deliver until it is cancelled."""
        free = asyncio.Semaphore(_AT_ONCE)
        await self._settle()
        try:
            while True:
                await free.acquire()
                message = await self._next()
                if message is None:
                    free.release()
                    continue
                task = asyncio.create_task(self._carry(message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
                task.add_done_callback(lambda _: free.release())
        finally:
            for task in self._running:
                task.cancel()
            if self._running:
                await asyncio.wait(self._running)

    async def _settle(self) -> None:
        config = ConsumerConfig(
            durable_name="herald",
            filter_subject="lipserve.hooks.>",
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_ACK_SECONDS,
            max_deliver=-1,
            max_ack_pending=100_000,  # letters that wait for their next try count, too
        )

        async def add() -> None:
            with suppress(BadRequestError):  # it is there
                await self._broker.js.add_consumer(names.HOOKS, config)

        await self._broker.lasting(add)
        self._pull = await self._broker.lasting(
            lambda: self._broker.js.pull_subscribe_bind(durable="herald", stream=names.HOOKS)
        )

    async def _next(self) -> Msg | None:
        try:
            with cancellation.kept():
                return (await self._pull.fetch(1, timeout=5))[0]
        except TimeoutError:
            return None
        except Exception as error:  # NATS is away, or has lost the consumer
            log.warning("webhooks wait: %s", error)
            await asyncio.sleep(LOST_SECONDS)
        with suppress(LipServeError):
            await self._settle()
        return None

    async def _carry(self, message: Msg) -> None:
        """Deliver a letter, or have it come again later."""
        try:
            delay = await self._carried(message)
            if delay is None:
                await message.ack_sync(timeout=5)
            else:
                await message.nak(delay=delay)
        except Exception as error:  # it comes again by itself
            log.warning("a webhook waits: %s", error)

    async def _carried(self, message: Msg) -> float | None:
        """Return after how many seconds a letter is to come again; None: it is done with."""
        _, _, tenant, id = message.subject.split(".")
        job = await self._journal.get(tenant, id)
        if job is None or job.webhook is None or not job.final or job.told != "pending":
            return None
        name = _host(job.webhook)
        if len(self._hosts) >= _MOST_HOSTS:
            self._hosts = {key: each for key, each in self._hosts.items() if each.busy}
        host = self._hosts.setdefault((tenant, name), _Host())
        if host.busy >= _PER_HOST or host.rests_until > time.monotonic():
            return max(1.0, host.rests_until - time.monotonic()) * random.uniform(1, 2)
        age = max(0.0, datetime.now(UTC).timestamp() - message.metadata.timestamp.timestamp())
        host.busy += 1
        try:
            error = await self._tell(job, job.webhook)
        finally:
            host.busy -= 1
        self._learn(tenant, name, host, error)
        if error is None:
            TRIES.labels("delivered").inc()
            await self._told(job, "delivered")
            return None
        log.info("webhook of job %s: %s", job.id, error)
        patience = REFUSED_SECONDS if isinstance(error, FetchError) else PATIENCE_SECONDS
        if age >= patience:
            await self._ends.bury(job, _HOOK, Fault.of(error), message.metadata.num_delivered or 1)
            await self._told(job, "failed")
            TRIES.labels("failed").inc()
            return None
        TRIES.labels("retried").inc()
        return min(LONGEST_SECONDS, max(FIRST_SECONDS, age)) * random.uniform(0.75, 1.25)

    def _learn(self, tenant: str, name: str, host: _Host, error: LipServeError | None) -> None:
        """Give a host rest that does not answer, longer each time; forget one that does."""
        if error is None or isinstance(error, UnavailableError | FetchError):
            if not host.busy:
                self._hosts.pop((tenant, name), None)
            host.silent = 0
            return
        host.silent += 1
        host.rests_until = time.monotonic() + min(300.0, FIRST_SECONDS * 2 ** (host.silent // _PER_HOST))

    async def _tell(self, job: Job, address: str) -> LipServeError | None:
        """Send one letter; return why it was not taken."""
        tenant = self._tenants.named(job.tenant)
        body = letter(job, tenant.price_per_hour)
        headers = signed(f"{job.id}.{job.round}.{job.state}", body, tenant.webhook_secret or self._secret)
        try:
            async with asyncio.timeout(ANSWER_SECONDS), visitor(tenant.fetch, self._private) as client:
                request = client.build_request("POST", address, content=body, headers=headers)
                response = await client.send(request, stream=True)
                await response.aclose()  # what it says is of no interest
                return None if response.is_success else refused_status(response)
        except TimeoutError:
            return ConnectError(f"{_host(address)} does not answer in time.", "It is asked again.")
        except LipServeError as error:
            return error

    async def _told(self, job: Job, told: Told) -> None:
        def change(now: Job) -> Job | None:
            return now.changed(told=told) if now.round == job.round else None

        await self._journal.change(job.tenant, job.id, change)


def _host(address: str) -> str:
    with suppress(httpx.InvalidURL):
        return httpx.URL(address).host
    return ""  # it is refused when it is asked
