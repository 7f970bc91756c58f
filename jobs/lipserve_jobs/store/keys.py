"""Where everything of a job lies."""

from __future__ import annotations

from dataclasses import dataclass

from lipserve_jobs.records import Job


@dataclass(frozen=True)
class Keys:
    """The keys of one job's objects: all below `prefix`, so that they can be removed together."""

    tenant: str
    job: str

    @classmethod
    def of(cls, job: Job) -> Keys:
        return cls(job.tenant, job.id)

    @property
    def prefix(self) -> str:
        return f"jobs/{self.tenant}/{self.job}/"

    @property
    def request(self) -> str:
        return f"{self.prefix}request.json"

    @property
    def plan(self) -> str:
        return f"{self.prefix}plan.json"

    @property
    def report(self) -> str:
        return f"{self.prefix}report.json"

    @property
    def sheet(self) -> str:
        return f"{self.prefix}sheet.png"

    @property
    def inputs(self) -> str:
        return f"{self.prefix}inputs/"

    @property
    def pieces(self) -> str:
        return f"{self.prefix}pieces/"

    @property
    def results(self) -> str:
        return f"{self.prefix}results/"

    def input(self, name: str) -> str:
        return f"{self.inputs}{name}"

    def source(self, number: int) -> str:
        return f"{self.prefix}sources/{number:04d}"

    def piece(self, place: int) -> str:
        """A piece: the length of its reports (8 bytes, big-endian), the reports (JSON), the film."""
        return f"{self.pieces}{place:06d}"


def file_prefix(tenant: str, id: str) -> str:
    """Where a file that was sent lies: `meta.json` and the parts, named by the offset of each."""
    return f"files/{tenant}/{id}/"


def batch_rows(tenant: str, id: str) -> str:
    """The rows of a batch, a request in each line."""
    return f"batches/{tenant}/{id}/rows.jsonl"
