"""What a job is: the request, its record, and whose it is. No network here."""

from lipserve_jobs.records.job import FINAL, Fault, Job, Result, State, Told
from lipserve_jobs.records.plan import Plan
from lipserve_jobs.records.request import CueRequest, JobRequest, Kind, Priority
from lipserve_jobs.records.tenant import Quota, Tenant, Tenants

__all__ = [
    "FINAL",
    "CueRequest",
    "Fault",
    "Job",
    "JobRequest",
    "Kind",
    "Plan",
    "Priority",
    "Quota",
    "Result",
    "State",
    "Tenant",
    "Tenants",
    "Told",
]
