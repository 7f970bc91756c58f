"""The audit log: a line of JSON for each call that changes something."""

from __future__ import annotations

import json
import logging
import time

from fastapi import Request

from lipserve_jobs.gateway.auth import Caller
from lipserve_jobs.records.view import stamp

log = logging.getLogger("lipserve.audit")


def audit(
    request: Request, caller: Caller, action: str, subject: str, status: int, digest: str | None = None
) -> None:
    """Write who has done what.

    Args:
        action: such as `job.create`. subject: the id of the job, batch or file.
        digest: SHA-256 of what was sent.
    """
    line = {
        "at": stamp(time.time()),
        "tenant": caller.tenant.name,
        "who": caller.who,
        "action": action,
        "subject": subject,
        "digest": digest,
        "address": None if request.client is None else request.client.host,
        "status": status,
    }
    log.info("%s", json.dumps(line, ensure_ascii=False))
