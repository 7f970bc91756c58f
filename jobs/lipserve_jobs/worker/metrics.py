"""What a worker counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

STEPS = Counter("lipserve_jobs_steps", "Steps of jobs that were carried out", ["step", "outcome"])
STEP_SECONDS = Histogram(
    "lipserve_jobs_step_seconds",
    "Time of a step, its waiting for servers included",
    ["step"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000),
)
RUNNING = Gauge("lipserve_jobs_worker_running", "Steps that this worker is at")
PLACES = Gauge("lipserve_jobs_worker_places", "Steps that this worker takes at once")
