"""The work that waits: a message for each step of a job, handed out fairly."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo
from nats.js.errors import BadRequestError

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.names import LEVELS, Step
from lipserve_jobs.records import Job, Priority, Tenant

ACK_SECONDS = 20.0
"""A step that nobody has answered for so long goes to another worker."""
HEARTBEAT_SECONDS = 5.0
_PULL_SECONDS = 2.0
_KNOWN_SECONDS = 300.0
_PAGE = 256


@dataclass
class Task:
    """A step that this worker has taken.

    Attributes:
        delivered: how often it was handed out, this time included.
    """

    tenant: str
    job: str
    step: Step
    delivered: int
    _message: Msg = field(repr=False)

    async def done(self) -> None:
        """It is carried out, or not needed any more."""
        with suppress(Exception):  # else it comes again, and is found to be carried out
            await self._message.ack_sync(timeout=5)

    async def again(self, delay: float) -> None:
        """Give it back; it is handed out after `delay` seconds."""
        with suppress(Exception):
            await self._message.nak(delay=delay)

    async def busy(self) -> None:
        """It is still being worked on."""
        with suppress(Exception):
            await self._message.in_progress()


@dataclass(frozen=True)
class Backlog:
    """What a tenant has in the queue, by level: new, and handed out; of these some may be due again."""

    waiting: dict[str, int]
    taken: dict[str, int]

    @property
    def running(self) -> int:
        return sum(self.taken.values())


class Work:
    """Puts steps into the queue, and takes them out: tenants by turns, each by priority.

    Args:
        tenant: returns what is known of a tenant by its name.
    """

    def __init__(self, broker: Broker, tenant: Callable[[str], Tenant]) -> None:
        self._broker, self._tenant = broker, tenant
        self._known: dict[str, float] = {}  # consumers that were seen, and when
        self._inbox: Subscription | None = None
        self._answers = ""
        self._served: dict[str, float] = {}

    async def put(self, job: Job, step: Step, again: str = "") -> None:
        """Put a step into the queue, once: a second time within two minutes is dropped, but for another
        `again`."""
        await self.put_as(job.tenant, job.priority, job.id, step, f"{job.round}{again}")

    async def put_as(self, tenant: str, priority: Priority, id: str, step: Step, mark: str) -> None:
        """Put a step of a job or a batch into the queue."""
        await self._settle(tenant, LEVELS[priority])
        subject = names.work_subject(tenant, priority, id, step)
        headers = {"Nats-Msg-Id": f"{id}.{step}.{mark}"}
        await self._broker.lasting(lambda: self._broker.js.publish(subject, b"", headers=headers))
        await self.wake()

    async def wake(self) -> None:
        """Tell workers that wait that there is something to do."""
        with suppress(Exception):
            await self._broker.nc.publish(names.WAKE)

    async def take(self, spare: bool = False) -> Task | None:
        """Return a step of the tenant whose turn it is; None: there is none.

        Args:
            spare: only of a tenant that has nothing in work: this place is kept for such.
        """
        backlog = await self.backlog()
        turns = [name for name, load in backlog.items() if self._may(load, spare)]
        turns.sort(key=lambda name: self._share(name, backlog[name]))
        for name in turns:
            for level in self._levels(name, backlog[name]):
                message = await self._pull(names.consumer(name, level))
                if message is not None:
                    self._served[name] = time.monotonic()
                    _, _, tenant, _, job, step = message.subject.split(".")
                    return Task(tenant, job, Step.of(step), message.metadata.num_delivered or 1, message)
        return None

    async def backlog(self) -> dict[str, Backlog]:
        """Return what every tenant has in the queue."""
        found: dict[str, Backlog] = {}
        page = infos = await self._consumers(0)
        while len(page) == _PAGE:
            page = await self._consumers(len(infos))
            infos = infos + page
        for info in infos:
            tenant, _, level = (info.name or "").rpartition("_")
            load = found.setdefault(tenant, Backlog({}, {}))
            load.waiting[level] = info.num_pending or 0
            load.taken[level] = info.num_ack_pending or 0
        return found

    async def _consumers(self, offset: int) -> list[ConsumerInfo]:
        return await self._broker.lasting(lambda: self._broker.js.consumers_info(names.WORK, offset=offset))

    async def waiting_for(self, job: str) -> set[Step]:
        """Return the steps of a job that are in the queue, taken ones included."""
        info = await self._broker.lasting(
            lambda: self._broker.js.stream_info(names.WORK, subjects_filter=names.job_filter(job))
        )
        return {Step.of(subject.rpartition(".")[2]) for subject in info.state.subjects or {}}

    async def drop(self, job: str) -> None:
        """Take everything of a job out of the queue, and have those who work on it give up."""
        await self._broker.lasting(
            lambda: self._broker.js.purge_stream(names.WORK, subject=names.job_filter(job))
        )
        with suppress(Exception):
            await self._broker.nc.publish(names.CANCEL, job.encode())

    async def on(self, subject: str, call: Callable[[str], None]) -> Subscription:
        """Call `call` with the text of every message of a core subject."""

        async def heard(message: Msg) -> None:
            call(message.data.decode(errors="replace"))

        return await self._broker.nc.subscribe(subject, cb=heard)

    def _share(self, name: str, load: Backlog) -> tuple[float, float]:
        """Return how much of its share a tenant has, and when it was last served here: the least is next."""
        return load.running / self._tenant(name).weight, self._served.get(name, 0.0)

    def _may(self, load: Backlog, spare: bool) -> bool:
        """Tell whether a tenant may have something for us: what was handed out may be due again."""
        if spare:
            return load.running == 0 and any(load.waiting.values())
        return load.running > 0 or any(load.waiting.values())

    def _levels(self, name: str, load: Backlog) -> list[str]:
        """Return the levels to look at, the most urgent first.

        A tenant that has as much in work as it may gets only what is due again: from levels that have
        nothing new, or give nothing new because they are full themselves.
        """
        levels = sorted(level for level in load.waiting if load.waiting[level] or load.taken[level])
        bound = self._tenant(name).quota.segments
        if bound is None or load.running < bound:
            return levels
        old = [level for level in levels if not load.waiting[level] or load.taken[level] >= bound]
        # Otherwise two levels could wait for each other, with nobody at work.
        stuck = time.monotonic() - self._served.setdefault(name, time.monotonic()) > ACK_SECONDS
        return old or (levels if stuck else [])

    async def _settle(self, tenant: str, level: str) -> None:
        """Make sure that somebody hands out what comes for a tenant."""
        name = names.consumer(tenant, level)
        if time.monotonic() - self._known.get(name, -_KNOWN_SECONDS) < _KNOWN_SECONDS:
            return
        config = ConsumerConfig(
            durable_name=name,
            filter_subject=names.work_filter(tenant, level),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
            max_deliver=-1,  # how often is enough is for the worker to say: it knows whose fault it was
            max_ack_pending=self._tenant(tenant).quota.segments or 10_000,
        )

        async def add() -> None:
            with suppress(BadRequestError):  # it is there
                await self._broker.js.add_consumer(names.WORK, config)

        await self._broker.lasting(add)
        self._known[name] = time.monotonic()

    async def _pull(self, consumer: str) -> Msg | None:
        """Return the next message of a consumer; None: it has none at this moment."""
        nc = self._broker.nc
        try:
            # Not `nc.request`: what a stream delivers has the subject of the stream, not that of the answer.
            if self._inbox is None:
                self._answers = nc.new_inbox()
                self._inbox = await nc.subscribe(self._answers)
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{names.WORK}.{consumer}"
            await nc.publish(subject, b'{"batch":1,"no_wait":true}', reply=self._answers)
            message = await self._inbox.next_msg(timeout=_PULL_SECONDS)
        except Error:  # NATS is away: what it may have handed out comes again
            return None
        return None if message.headers and "Status" in message.headers else message
