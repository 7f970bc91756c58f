"""What comes after a job: letters to webhooks, and letters that nobody can deliver."""

from __future__ import annotations

import json
import time
from contextlib import suppress

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError

from lipserve_jobs.queue import names
from lipserve_jobs.queue.broker import Broker
from lipserve_jobs.queue.names import Step
from lipserve_jobs.records import Fault, Job


class Ends:
    """The dead letters, the webhooks that are due, and how often a step was given back unblamed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def tell(self, job: Job) -> None:
        """Have the webhook of a job told that it has ended; a second call of the same end is dropped."""
        if job.webhook is None:
            return
        headers = {"Nats-Msg-Id": f"{job.id}.{job.round}.{job.state}"}
        subject = names.hook_subject(job.tenant, job.id)
        await self._broker.lasting(lambda: self._broker.js.publish(subject, b"", headers=headers))

    async def bury(self, job: Job, step: Step, fault: Fault, delivered: int) -> None:
        """Put a step that ends all who try it among the dead letters."""
        text = json.dumps(
            {
                "tenant": job.tenant,
                "job": job.id,
                "step": str(step),
                "round": job.round,
                "delivered": delivered,
                "at": time.time(),
                **fault.model_dump(),
            }
        )
        headers = {"Nats-Msg-Id": f"dead.{job.id}.{step}.{job.round}"}
        subject = names.dead_subject(job.tenant, job.id, step)
        await self._broker.lasting(lambda: self._broker.js.publish(subject, text.encode(), headers=headers))

    async def forget(self, tenant: str, job: str) -> None:
        """Remove the dead letters and the due webhooks of a job."""
        await self._purge(names.DEAD, f"lipserve.dead.{tenant}.{job}.>")
        await self._purge(names.HOOKS, names.hook_subject(tenant, job))

    async def _purge(self, stream: str, subject: str) -> None:
        await self._broker.lasting(lambda: self._broker.js.purge_stream(stream, subject=subject))

    async def returns(self, job: str, step: Step) -> int:
        """Return how often a step was given back through no fault of its own."""

        async def read() -> int:
            with suppress(KeyNotFoundError):
                entry = await self._broker.bucket(names.RETURNS).get(f"{job}.{step}")
                return int(entry.value or b"0")
            return 0

        return await self._broker.lasting(read)

    async def count_return(self, job: str, step: Step) -> int:
        """Count that a step is given back through no fault of its own, and return how often it was."""
        count = await self.returns(job, step) + 1
        bucket = self._broker.bucket(names.RETURNS)
        await self._broker.lasting(lambda: bucket.put(f"{job}.{step}", str(count).encode()))
        return count

    async def clear_returns(self, job: str, step: Step) -> None:
        """Forget how often a step was given back."""
        bucket = self._broker.bucket(names.RETURNS)
        with suppress(KeyNotFoundError, KeyWrongLastSequenceError):
            await self._broker.lasting(lambda: bucket.purge(f"{job}.{step}"))
