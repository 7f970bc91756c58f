"""The tenants of a file that changes while the service runs."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from lipserve.errors import SetupError
from lipserve_jobs.records.tenant import Tenant, Tenants

log = logging.getLogger("lipserve.jobs")
LOOK_SECONDS = 5.0


class Roster:
    """The tenants as the file has them now; a file that cannot be read leaves the last ones.

    Args:
        path: YAML; None: there are no tenants by name.

    Raises:
        SetupError: the file cannot be read at the start.
    """

    def __init__(self, path: Path | None) -> None:
        self._path, self._tenants = path, Tenants()
        self._looked, self._seen = time.monotonic(), self._mark()
        if path is not None:
            self._tenants = Tenants.read(path)

    @property
    def now(self) -> Tenants:
        """The tenants of this moment; the file is looked at every five seconds at most."""
        if self._path is not None and time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            mark = self._mark()
            if mark is not None and mark != self._seen:
                self._seen = mark
                try:
                    self._tenants = Tenants.read(self._path)
                    log.info("the tenants of %s are read anew", self._path)
                except SetupError as error:
                    log.error("%s The last ones stay.", error)
        return self._tenants

    def by_key(self, key: str) -> Tenant | None:
        return self.now.by_key(key)

    def named(self, name: str) -> Tenant:
        return self.now.named(name)

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            stat = None if self._path is None else self._path.stat()
        except OSError:
            return None
        return stat and (stat.st_mtime_ns, stat.st_ino, stat.st_size)
