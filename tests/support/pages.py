"""The pages of a port: metrics in Prometheus' text format, and whether somebody lives and is ready."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass

from lipserve.metrics_page import read_samples


@dataclass(frozen=True)
class Page:
    """A port that answers HTTP: that of a Triton's metrics, or the health port of a pod."""

    port: int
    host: str = "127.0.0.1"

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.port}{path}", timeout=30) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Return every sample by its name and labels, as they are written in the page."""
        lines = (line.rpartition(" ") for line in self.get("/metrics")[1].splitlines())
        return {name: float(value) for name, _, value in lines if name and not name.startswith("#")}

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the series of a name that have these labels."""
        samples = read_samples(self.get("/metrics")[1])
        return [
            one.value for one in samples if one.name == name and labels.items() <= dict(one.labels).items()
        ]

    def metric(self, name: str, **labels: str) -> float:
        """Return the one series of a name that has these labels."""
        (found,) = self.values(name, **labels)
        return found

    def in_flight(self, **labels: str) -> float:
        """Return how many segments the stages work on, over their processes; `stage` names one of them."""
        return sum(self.values("lipserve_segments_in_flight", **labels))
