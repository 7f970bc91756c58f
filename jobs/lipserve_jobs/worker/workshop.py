"""Where a worker keeps the files of its jobs: fetched once, removed when they have been idle."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lipserve.errors import InputError
from lipserve_client._making import Making
from lipserve_client._wanted import Wanted
from lipserve_jobs.records import Job, JobRequest, Plan
from lipserve_jobs.records.request import FILE
from lipserve_jobs.store import Keys, Store
from lipserve_jobs.store.keys import file_prefix
from lipserve_jobs.worker.outside import Outside

_FOLDER = re.compile(r"[0-9a-f]{32}")
_IDLE_SECONDS = 600.0
_KEPT = 4  # jobs that nobody is at


@dataclass
class Bench:
    """A job that is open here.

    Attributes:
        files: of the job, by name.
        wanted, making, plan: once it is known how it is divided.
        over: whether the job has ended: who leaves last clears it away.
    """

    folder: Path
    request: JobRequest
    files: dict[str, Path]
    wanted: Wanted | None = None
    making: Making | None = None
    plan: Plan | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    left: float = 0.0
    over: bool = False

    def file(self, reference: str | None) -> Path | None:
        """Return the file of a reference of the request."""
        if reference is None:
            return None
        return next(self.files[name] for name, known in self.request.references.items() if known == reference)


class Workshop:
    """Opens jobs.

    Args:
        scratch: folder; what an earlier worker left in it is removed.
    """

    def __init__(self, store: Store, scratch: Path, outside: Outside) -> None:
        self._store, self._scratch, self._outside = store, scratch, outside
        self._benches: dict[str, Bench] = {}
        self._opening: dict[str, asyncio.Lock] = {}
        scratch.mkdir(parents=True, exist_ok=True)
        for old in scratch.iterdir():
            if _FOLDER.fullmatch(old.name):
                shutil.rmtree(old, ignore_errors=True)

    @asynccontextmanager
    async def at(self, job: Job) -> AsyncIterator[Bench]:
        """Open a job: its files are here while somebody is at it."""
        async with self._opening.setdefault(job.id, asyncio.Lock()):
            bench = self._benches.get(job.id)
            if bench is None:
                bench = self._benches[job.id] = await self._open(job)
            bench.users += 1
        try:
            yield bench
        finally:
            bench.users -= 1
            bench.left = time.monotonic()
            self._tidy()

    def told(self, job: Job, text: str) -> str:
        """Return what a caller is told: files have their names in the job, not this machine's paths."""
        return text.replace(f"{self._scratch / job.id}/", "")

    def drop(self, job: str) -> None:
        """Forget a job that has ended, as soon as nobody is at it."""
        bench = self._benches.get(job)
        if bench is not None:
            bench.over = True
        if bench is not None and not bench.users:
            del self._benches[job]
            self._opening.pop(job, None)
            shutil.rmtree(bench.folder, ignore_errors=True)

    def _tidy(self) -> None:
        idle = sorted((b.left, job) for job, b in self._benches.items() if not b.users)
        now = time.monotonic()
        for place, (left, job) in enumerate(reversed(idle)):
            if self._benches[job].over or place >= _KEPT or now - left > _IDLE_SECONDS:
                self.drop(job)

    async def _open(self, job: Job) -> Bench:
        folder = self._scratch / job.id
        keys = Keys.of(job)
        try:
            text = await self._store.read(keys.request)
            if text is None:
                raise InputError("The request of the job is gone.", "Send the job again.")
            request = JobRequest.model_validate_json(text)
            folder.mkdir(exist_ok=True)
            files = {}
            for name, reference in request.references.items():
                files[name] = folder / name
                await self._bring(keys, name, reference, files[name])
            return Bench(folder, request, files)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def _bring(self, keys: Keys, name: str, reference: str, path: Path) -> None:
        """Bring a file of a job here. One from elsewhere is kept in the store: its address may not last."""
        if reference.startswith(FILE):
            await self._gather(file_prefix(keys.tenant, reference.removeprefix(FILE)), path)
            return
        kept = keys.input(name)
        if await self._store.size(kept) is None:
            await self._store.write_stream(kept, self._outside.fetch(keys.tenant, reference))
        await self._store.fetch(kept, path)

    async def _gather(self, prefix: str, path: Path) -> None:
        """Write the parts of a file that was sent, in order, into one."""
        parts = sorted([found.key async for found in self._store.list(prefix)])
        parts = [key for key in parts if key.rpartition("/")[2].isdecimal()]
        if not parts:
            raise InputError(
                "A file of the job is gone: it was removed, or never sent.",
                "Send the file and the job again.",
            )
        with path.open("wb") as file:
            for key in parts:
                async for chunk in self._store.stream(key):
                    file.write(chunk)
