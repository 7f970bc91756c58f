"""What a webhook is told, and the signature that proves who says it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from standardwebhooks import Webhook

from lipserve_jobs.records import Job
from lipserve_jobs.records.view import JobView


def letter(job: Job, price_per_hour: float | None) -> bytes:
    """Return what a webhook is told: the job, and `type`: job.done, job.failed or job.cancelled."""
    view = JobView.of(job, price_per_hour).model_dump(mode="json")
    return json.dumps({"type": f"job.{job.state}", **view}, ensure_ascii=False).encode()


def signed(id: str, body: bytes, secret: str | None) -> dict[str, str]:
    """Return the headers of a letter, signed as standardwebhooks.com has it.

    Args:
        id: the same for each try of a letter: who has taken it already may pass over it.
        secret: `whsec_` and base64; None: there is no signature.
    """
    now = datetime.now(UTC)
    headers = {"Content-Type": "application/json", "webhook-id": id}
    headers["webhook-timestamp"] = str(int(now.timestamp()))
    if secret is not None:
        headers["webhook-signature"] = Webhook(secret).sign(id, now, body.decode())
    return headers
