"""A record in little memory: what is asked of all records at once as it is, the rest packed."""

from __future__ import annotations

import sys
import zlib

from lipserve_jobs.records import FINAL, Job, JobRequest, Result

_HEX = "0" * 32
_LEVEL, _RAW, _MEMORY = 6, -15, 9


def _sample() -> bytes:
    """Return a record like all others: what they have in common is not kept again in each."""
    request = JobRequest(
        video=f"file:{_HEX}", speech=f"file:{_HEX}", webhook="https://example.com/", metadata={"order": "1"}
    )
    result = Result(key=f"jobs/local/{_HEX}/results/1-0.mp4", size=1000000, sha256=_HEX)
    job = Job.new(request, "local", _HEX).ended_as("done", 1.0, started=1.0, planned=1.0, result=result)
    return _text(job.changed(frames=250, frames_done=250, pieces=1, made="1", seconds=10.0, work_seconds=1.0))


def _text(job: Job) -> bytes:
    return job.model_dump_json(exclude_defaults=True).encode()


_ALIKE = _sample()


class Kept:
    """A record, and its revision.

    Attributes:
        id, tenant, kind, state, batch, files, touched, expires: those of the record.
    """

    __slots__ = (
        "_packed",
        "batch",
        "expires",
        "files",
        "id",
        "kind",
        "revision",
        "state",
        "tenant",
        "touched",
    )

    def __init__(self, id: str, job: Job, revision: int) -> None:
        self.id, self.revision = id, revision
        self.tenant = sys.intern(job.tenant)
        self.kind, self.state = job.kind, job.state
        self.batch = None if job.batch is None else sys.intern(job.batch)
        self.files = tuple(sys.intern(file) for file in job.files)
        self.touched, self.expires = job.touched, job.expires
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _ALIKE)
        self._packed = packer.compress(_text(job)) + packer.flush()

    @property
    def job(self) -> Job:
        """The whole record."""
        return Job.model_validate_json(zlib.decompressobj(_RAW, _ALIKE).decompress(self._packed))

    @property
    def final(self) -> bool:
        return self.state in FINAL
