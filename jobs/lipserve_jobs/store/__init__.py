"""The object store: media that came, pieces, results. A folder, or S3."""

from lipserve_jobs.store.keys import Keys
from lipserve_jobs.store.store import Store

__all__ = ["Keys", "Store"]
