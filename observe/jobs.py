"""Dashboard of jobs: what waits, what is made, who has it made, and what failed."""

from __future__ import annotations

from observe.panels import Dashboard, Panel


def _of_gateways(metric: str, labels: str) -> str:
    """Return the query of a gauge that every gateway tells: the largest, as the newest."""
    return f"max by (namespace, job, {labels}) ({metric})"


def _grown(what: str) -> str:
    """Return the query of how fast a figure of each tenant grows; it begins anew with each month."""
    return f"max by (tenant) (rate(lipserve_jobs_tenant_{what}_total{{@pods}}[$__rate_interval]))"


_QUEUED = _of_gateways('lipserve_jobs{@pods,state="queued"}', "tenant")
_OPEN = _of_gateways('lipserve_jobs{@pods,state!~"done|failed|cancelled"}', "tenant, state")
_STEPS = _of_gateways("lipserve_jobs_queue_steps{@pods}", "tenant, state")
_WAITING = _of_gateways('lipserve_jobs_queue_steps{@pods,state="waiting"}', "tenant")

JOBS = Dashboard(
    uid="lipserve-jobs",
    title="LipServe: jobs",
    description="What waits, what is made, and for whom. Gateways all tell the same of the queue and of the"
    " records. A process names its first hundred tenants; it counts all others together.",
    texts={},
    series="lipserve_jobs_ready",
    panels=(
        Panel(
            "Gateways ready",
            "Gateways that take requests.",
            "none",
            {"ready": "sum(lipserve_jobs_ready{@pods})"},
            "stat",
        ),
        Panel(
            "Jobs waiting", "Jobs that no worker has begun.", "none", {"queued": f"sum({_QUEUED})"}, "stat"
        ),
        Panel(
            "First job waits for",
            "How long the first job has waited for its beginning.",
            "s",
            {"first": "max(lipserve_jobs_oldest_queued_seconds{@pods})"},
            "stat",
        ),
        Panel(
            "Workers",
            "Workers that there are.",
            "none",
            {"workers": "count(lipserve_jobs_worker_places{@pods}) or vector(0)"},
            "stat",
        ),
        Panel(
            "Dead letters",
            "Steps that ended all who tried them; they are kept for thirty days.",
            "none",
            {"dead letters": "max(lipserve_jobs_dead_letters{@pods})"},
            "stat",
        ),
        Panel(
            "NATS storage",
            "Taken share of what jobs may store in NATS; above 80 % an alert warns.",
            "percentunit",
            {
                "taken": "max(lipserve_jobs_nats_storage_bytes{@pods})"
                " / max(lipserve_jobs_nats_storage_limit_bytes{@pods})"
            },
            "stat",
            at_most=1,
        ),
        Panel(
            "Jobs by state", "Jobs that have not ended.", "none", {"{{state}}": f"sum by (state) ({_OPEN})"}
        ),
        Panel(
            "Steps waiting and at work",
            "Steps in the queue: plans, pieces, joins. Workers are scaled on them.",
            "none",
            {"{{state}}": f"sum by (state) ({_STEPS})"},
        ),
        Panel(
            "Steps waiting, by tenant",
            "Steps of each tenant that wait: tenants have their turns by their weight.",
            "none",
            {"{{tenant}}": f"sum by (tenant) ({_WAITING})"},
        ),
        Panel(
            "Without progress for",
            "How long the job that is untouched for longest has not changed: of all in work, and of"
            " those that are joined.",
            "s",
            {
                "worked on": "max(lipserve_jobs_unfinished_oldest_seconds{@pods})",
                "joined": "max(lipserve_jobs_joining_oldest_seconds{@pods})",
            },
        ),
        Panel(
            "Places taken",
            "Share of the workers' places that have a step.",
            "percentunit",
            {"taken": "sum(lipserve_jobs_worker_busy{@pods}) / sum(lipserve_jobs_worker_places{@pods})"},
        ),
        Panel(
            "Steps by outcome",
            "Steps a minute; `returned` ones were given back, and are tried again elsewhere.",
            "cpm",
            {
                "{{step}} {{outcome}}": "60 * sum by (step, outcome)"
                " (rate(lipserve_jobs_steps_total{@pods}[$__rate_interval]))"
            },
        ),
        Panel(
            "Seconds of a step, 95 of 100",
            "Seconds of steps that ended well, their wait for Triton included.",
            "s",
            {
                "{{step}}": "histogram_quantile(0.95, sum by (le, step)"
                " (rate(lipserve_jobs_step_seconds_bucket{@pods}[$__rate_interval])))"
            },
        ),
        Panel(
            "Results of each tenant",
            "Seconds of results that one second makes for each tenant.",
            "none",
            {"{{tenant}}": _grown("seconds")},
        ),
        Panel(
            "Work for each tenant",
            "Seconds of Triton that one second takes for each tenant.",
            "none",
            {"{{tenant}}": _grown("work_seconds")},
        ),
        Panel(
            "Cost of an hour",
            "What each tenant's work costs in an hour, at its price.",
            "currencyUSD",
            {"{{tenant}}": f"3600 * {_grown('cost')}"},
        ),
        Panel(
            "Webhooks",
            "Tries a minute, by what came of them; `failed` ones are given up.",
            "cpm",
            {
                "{{outcome}}": "60 * sum by (outcome)"
                " (rate(lipserve_jobs_webhooks_total{@pods}[$__rate_interval]))"
            },
        ),
        Panel(
            "Left to do",
            "Webhooks that are not told yet, and ended jobs that are to be removed.",
            "none",
            {
                "webhooks": "max(lipserve_jobs_webhooks_pending{@pods})",
                "to be removed": "max(lipserve_jobs_overdue{@pods})",
            },
        ),
        Panel(
            "Requests by status",
            "Requests a minute to the gateways.",
            "cpm",
            {
                "{{status}}": "60 * sum by (status)"
                " (rate(lipserve_jobs_requests_total{@pods}[$__rate_interval]))"
            },
        ),
        Panel(
            "Seconds of a request, 95 of 100",
            "Seconds until the head of an answer, without those that wait for a job.",
            "s",
            {
                "{{route}}": "histogram_quantile(0.95, sum by (le, route)"
                " (rate(lipserve_jobs_request_seconds_bucket{@pods}[$__rate_interval])))"
            },
        ),
        Panel(
            "Uploads and streams",
            "Files that come in now, and open streams of events.",
            "none",
            {
                "uploads": "sum(lipserve_jobs_uploads_open{@pods})",
                "streams": "sum(lipserve_jobs_event_streams{@pods})",
            },
        ),
        Panel(
            "Bytes in",
            "Bytes a second: uploads of each tenant, and what workers fetch for all.",
            "bytes",
            {
                "{{tenant}}": "sum by (tenant)"
                " (rate(lipserve_jobs_upload_bytes_total{@pods}[$__rate_interval]))",
                "fetched": "sum(rate(lipserve_jobs_fetched_bytes_total{@pods}[$__rate_interval]))",
            },
        ),
    ),
)
