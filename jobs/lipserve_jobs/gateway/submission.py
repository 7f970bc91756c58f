"""A request becomes a job: checked, written, queued; once, however often it is sent."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from urllib.parse import urlsplit

from lipserve.errors import FetchError, LipServeError
from lipserve_jobs.gateway.mirror import Mirror
from lipserve_jobs.gateway.offer import Offer
from lipserve_jobs.gateway.problems import Problem
from lipserve_jobs.gateway.quotas import Quotas
from lipserve_jobs.gateway.shelf import Shelf
from lipserve_jobs.outside.addresses import check_host
from lipserve_jobs.outside.buckets import is_listed
from lipserve_jobs.queue.journal import Journal
from lipserve_jobs.queue.names import PLAN
from lipserve_jobs.queue.once import Claim, Once
from lipserve_jobs.queue.work import Work
from lipserve_jobs.records import Job, JobRequest, Tenant
from lipserve_jobs.records.job import new_id
from lipserve_jobs.records.request import FILE
from lipserve_jobs.store import Keys, Store

log = logging.getLogger("lipserve.jobs")
MAX_KEY = 255
_LOOKS_AT_ONCE = 16
_SENT = re.compile(rf"{FILE}([0-9a-f]{{32}})")


class Submission:
    """Takes requests of jobs."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        work: Work,
        once: Once,
        mirror: Mirror,
        shelf: Shelf,
        quotas: Quotas,
        offer: Offer,
        private: bool,
    ) -> None:
        self._store, self._journal, self._work, self._once = store, journal, work, once
        self._mirror, self._shelf = mirror, shelf
        self._quotas, self._offer, self._private = quotas, offer, private

    async def make(
        self, tenant: Tenant, request: JobRequest, key: str | None, digest: str
    ) -> tuple[Job, bool]:
        """Return a new job, and True; or the job that the same request has made already, and False.

        Args:
            key: the caller's idempotency key. digest: that of the request.

        Raises:
            Problem: a quota is used up, or the key was used for something else.
            InputError: a file or the tier is not there, or an address is refused.
        """
        id = new_id()
        if key is not None:
            id = await self.claimed(tenant, key, Claim(digest=digest, id=id))
            known = await self._journal.get(tenant.name, id)
            if known is not None:
                return known, False
        await self._quotas.check_jobs(tenant)
        size = await self.check(tenant, request)
        job = Job.new(request, tenant.name, id=id).changed(input_bytes=size)
        if not await self._journal.create(job):  # the same request, at another gateway
            return await self._journal.get(tenant.name, id) or job, False
        text = request.model_dump_json(exclude_unset=True)
        try:
            await self._store.write(Keys.of(job).request, text.encode())
        except LipServeError:
            await self._journal.erase(tenant.name, id)
            self._mirror.erased(tenant.name, id)
            raise
        try:
            await self._work.put(job, PLAN)
        except LipServeError as error:  # a worker's keeper finds it without a step, and puts it in
            log.error("job %s waits: %s", job.id, error)
        return job, True

    async def check(self, tenant: Tenant, request: JobRequest, known: dict[str, int] | None = None) -> int:
        """Return the bytes of a request's files; InputError where one or the tier is missing or refused.

        Args:
            known: bytes of files that were looked at already; those of this request are added.
        """
        await self._offer.check(request.kind, request.tier)
        size, known = 0, {} if known is None else known
        for reference in request.references.values():
            if not reference.startswith(FILE):
                self.check_address(tenant, reference)
                continue
            if reference not in known:
                known[reference] = await self._shelf.length(tenant.name, reference.removeprefix(FILE))
            size += known[reference]
        for address in (request.result, request.webhook):
            if address is not None:
                self.check_address(tenant, address)
        return size

    def check_address(self, tenant: Tenant, address: str) -> None:
        """Raise FetchError where an address is refused as it stands: whoever uses it resolves its name."""
        parts = urlsplit(address)
        if parts.scheme != "s3":
            check_host(parts.hostname or "", tenant.fetch, self._private)
        elif not is_listed(parts.netloc, parts.path.removeprefix("/"), tenant.buckets):
            raise FetchError(f"The bucket {parts.netloc} is not on the list.", "Ask the operator.")

    async def digest(self, tenant: Tenant, text: str) -> str:
        """Return the SHA-256 of a request; of its files the content counts, as far as it is known, and no id.

        So a caller who sends the files again sends the same request.

        Args:
            text: the request, or many of them; files are named as file:ID.
        """
        contents: dict[str, str] = {}
        places = asyncio.Semaphore(_LOOKS_AT_ONCE)

        async def look(id: str) -> None:
            async with places:
                contents[id] = await self._shelf.sha256(tenant.name, id) or id

        await asyncio.gather(*map(look, set(_SENT.findall(text))))
        content = _SENT.sub(lambda found: contents[found[1]], text)
        return hashlib.sha256(content.encode()).hexdigest()

    async def claimed(self, tenant: Tenant, key: str, claim: Claim) -> str:
        """Return the id that a key stands for: the claim's, where the key is new.

        Raises:
            Problem: the key was used for something else.
        """
        if not 0 < len(key) <= MAX_KEY:
            raise Problem(400, "invalid_input", f"An Idempotency-Key has 1 to {MAX_KEY} characters.")
        found = await self._once.claim(tenant.name, key, claim)
        if found.digest != claim.digest:
            raise Problem(
                422,
                "key_reused",
                "The Idempotency-Key was used for another request within a day.",
                "Use a key once, and for its request's repetitions.",
            )
        return found.id
