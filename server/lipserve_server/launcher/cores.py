"""How many cores this server may use."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

from lipserve.contracts import Profile
from lipserve.engine_store import compute_capabilities
from lipserve.errors import EngineError

_CGROUPS = Path("/sys/fs/cgroup")


def cores_at_work(profile: Profile) -> int | None:
    """Return on how many cores all models of a server run; None where the leaves have a GPU."""
    if profile == "embedded":
        return cores()
    with contextlib.suppress(EngineError):  # a GPU whose driver does not work is told where it is needed
        if profile == "onnx" and not compute_capabilities():
            return cores()
    return None


def cores(cgroups: Path = _CGROUPS) -> int:
    """Return how many cores this process may use: no more than its container's limit, rounded up."""
    own = len(os.sched_getaffinity(0))
    quota = _quota(cgroups)
    return own if quota is None else max(1, min(own, math.ceil(quota)))


def _quota(cgroups: Path) -> float | None:
    """Return the limit of the container's cgroup (version 2, or 1) in cores; None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (cgroups / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota, period = ((cgroups / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(quota) < 0 else int(quota) / int(period)
    return None
