"""What the client's calls return."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lipserve.report import Report


@dataclass(frozen=True)
class SyncResult:
    """A lip-synced clip.

    Attributes:
        video: the MP4 (H.264 and AAC), as bytes, or the path that `output` named; None where `output` was an
            open file.
        report: the server's account.
        seconds: wall time of the whole call.
        request_seconds: wall time of each segment's request, in order, retries included.
        retries: requests that were sent again.
        prepare_seconds: wall time of preparing the video before its first segment; 0 where nothing had to be.
    """

    video: bytes | Path | None
    report: Report
    seconds: float
    request_seconds: tuple[float, ...]
    retries: int
    prepare_seconds: float = 0.0

    @property
    def realtime_factor(self) -> float:
        """Seconds of result for each second of waiting."""
        return self.report.seconds / self.seconds


@dataclass(frozen=True)
class ModelStatus:
    """A model, as one server's repository lists it.

    Attributes:
        state: READY, LOADING, UNLOADING, UNAVAILABLE, or UNKNOWN where it was never loaded.
        kind: leaf, stage or ensemble; "" for a model that LipServe does not know.
        tier: the tiers whose requests pass through it, with commas; "" for all, or where LipServe does not
            know it.
    """

    url: str
    name: str
    version: str
    state: str
    reason: str
    kind: str
    tier: str


@dataclass(frozen=True)
class ModelHealth:
    """How one model answered a canary: in `seconds`, or with `error`."""

    name: str
    seconds: float
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True)
class ServerHealth:
    """How one server is.

    Attributes:
        live, ready: what it says itself; a dead Python process does not show there.
        models: the canaries' answers, where they were asked for.
        error: why it could not be asked.
    """

    url: str
    live: bool
    ready: bool
    models: tuple[ModelHealth, ...] = ()
    error: str = ""

    @property
    def ok(self) -> bool:
        return self.live and self.ready and all(model.ok for model in self.models)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}
