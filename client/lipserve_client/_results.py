"""Results of the client's calls."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lipserve.errors import OptionsError, SetupError
from lipserve.report import Report
from lipserve_client._output import write_whole
from lipserve_client._targets import FILM


@dataclass(frozen=True)
class DubResult:
    """A dubbed clip.

    Attributes:
        path: the MP4 that `output` named; None where it named none, or was an open file.
        report: what the server tells of its work.
        seconds: wall time of the whole call.
        request_seconds: wall time of each segment's request, in order, retries included.
        retries: how often requests were sent again; of a job, how often pieces were begun again, too.
        prepare_seconds: wall time of preparing the video before its first segment; 0 where nothing had to be.
    """

    path: Path | None
    report: Report
    seconds: float
    request_seconds: tuple[float, ...]
    retries: int
    prepare_seconds: float = 0.0
    _content: bytes | None = field(default=None, repr=False)

    @property
    def content(self) -> bytes:
        """The MP4 (H.264 and AAC), read from `path` where it was written there.

        Raises:
            OptionsError: `output` was an open file, which has it.
            SetupError: the file at `path` cannot be read any more.
        """
        if self._content is not None:
            return self._content
        if self.path is None:
            raise OptionsError(
                "The result was written to the open file given as `output`.", "Read that file."
            )
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise SetupError(
                f"The result {str(self.path)!r} cannot be read ({error.strerror}).",
                "Read the result before the file is moved or deleted.",
            ) from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the MP4 to a file, which appears there whole or not at all, and return its path.

        Raises:
            InputError: it cannot be written there. Others as `content`.
        """
        target = Path(path)
        write_whole(target, self.content, FILM)
        return target

    @property
    def realtime_factor(self) -> float:
        """Duration of the result divided by the waiting time."""
        return self.report.seconds / self.seconds


@dataclass(frozen=True)
class ModelStatus:
    """The state of a model in one server's repository.

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
    """A model's answer to a canary: the time in `seconds`, or the `error`."""

    name: str
    seconds: float
    error: str = ""

    @property
    def ok(self) -> bool:
        return not self.error


@dataclass(frozen=True)
class ServerHealth:
    """The health of one server.

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
