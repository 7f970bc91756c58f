"""Jobs over HTTP: sent to a gateway, made by workers, fetched when they are done."""

from lipserve_client._jobs.async_jobs import AsyncJobs
from lipserve_client._jobs.jobs import Jobs
from lipserve_client._jobs.records import Batch, Fault, Job, Usage

__all__ = ["AsyncJobs", "Batch", "Fault", "Job", "Jobs", "Usage"]
