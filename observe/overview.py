"""Dashboard of the service's health and its SLO."""

from __future__ import annotations

from observe.panels import Dashboard, Panel

OVERVIEW = Dashboard(
    uid="lipserve-overview",
    title="LipServe: overview and SLO",
    description="Is the service well, and does it keep its objectives: 99 % without fault, 95 % of"
    " stages within 20 s.",
    texts={},
    panels=(
        Panel(
            "Pods ready",
            "Pods that take requests.",
            "none",
            {"pods": "sum(lipserve:pods_ready{@pods})"},
            "stat",
        ),
        Panel(
            "Segments waiting",
            "Accepted segments that no stage has begun.",
            "none",
            {"segments": "sum(lipserve:pending{@pods})"},
            "stat",
        ),
        Panel(
            "Oldest waits for",
            "How long the first segment in a queue has waited.",
            "s",
            {"oldest": "max(lipserve:oldest_pending_seconds{@pods})"},
            "stat",
        ),
        Panel(
            "Faults in an hour",
            "Share of segments that failed by the service's fault; the objective is at most 1 %.",
            "percentunit",
            {"faults": "max(lipserve:fault_ratio:1h{@pods})"},
            "stat",
        ),
        Panel(
            "Error budget left",
            "Of what three days may fail at 1 %; below 0 it is overdrawn.",
            "percentunit",
            {"left": "1 - max(lipserve:fault_ratio:3d{@pods}) / 0.01"},
            "stat",
        ),
        Panel(
            "Certificate days left",
            "Of the first certificate to expire, at Envoy or at Triton.",
            "d",
            {
                "Envoy": "min(envoy_server_days_until_first_cert_expiring{@namespace} < 36500)",
                "Triton": "min((lipserve_certificate_expiry_timestamp_seconds{@pods} - time()) / 86400)",
            },
            "stat",
        ),
        Panel(
            "Error budget burn",
            "Faults over the objective of 1 %: at 1 the budget lasts as long as its time, at 14.4"
            " somebody is woken.",
            "none",
            {
                "5 minutes": "max(lipserve:fault_ratio:5m{@pods}) / 0.01",
                "1 hour": "max(lipserve:fault_ratio:1h{@pods}) / 0.01",
                "6 hours": "max(lipserve:fault_ratio:6h{@pods}) / 0.01",
            },
        ),
        Panel(
            "Slow segments",
            "Share of an hour's segments that took a stage longer than 20 s; the objective is at most 5 %.",
            "percentunit",
            {"{{stage}}": "max by (stage) (lipserve:slow_ratio:1h{@pods})"},
            at_most=1,
        ),
        Panel(
            "Segments by outcome",
            "Ended segments a minute: well, or by the error that ended them. What died with a"
            " process has no outcome.",
            "cpm",
            {
                "ok": "60 * sum(rate(lipserve_requests_total"
                '{@pods,stage=~"(.+_)?postprocess",outcome="ok"}[$__rate_interval]))',
                "{{outcome}}": "60 * sum by (outcome)"
                ' (rate(lipserve_requests_total{@pods,outcome!="ok"}[$__rate_interval])) > 0',
                "any error": '60 * sum(rate(lipserve_requests_total{@pods,outcome!="ok"}[$__rate_interval]))',
            },
        ),
        Panel(
            "Seconds of a stage, 95 of 100",
            "Seconds of work on a segment that 95 of 100 stay below.",
            "s",
            {
                "{{stage}}": "histogram_quantile(0.95, sum by (le, stage)"
                " (rate(lipserve_stage_seconds_bucket{@pods}[$__rate_interval])))"
            },
        ),
        Panel(
            "Video made",
            "Seconds of video that one second makes, over all pods.",
            "none",
            {"video": "sum(rate(lipserve_video_seconds_total{@pods}[$__rate_interval]))"},
        ),
        Panel(
            "Models brought back",
            "Dead models now, and how often one was brought back within half an hour.",
            "none",
            {
                "dead": "count(lipserve_model_healthy{@pods}) - sum(lipserve_model_healthy{@pods})",
                "{{model}}": "sum by (model) (increase(lipserve_model_restarts_total{@pods}[30m]))",
            },
        ),
        Panel(
            "Calls at Envoy, 95 of 100",
            "Milliseconds of a whole call, waiting and further tries included, that 95 of 100 stay below.",
            "ms",
            {
                "call": "histogram_quantile(0.95, sum by (le)"
                " (rate(envoy_cluster_upstream_rq_time_bucket{@envoy}[$__rate_interval])))"
            },
        ),
        Panel(
            "Envoy's further tries",
            "Calls a minute that were sent again, and those that found no pod.",
            "cpm",
            {
                "sent again": "60 * sum(rate(envoy_cluster_upstream_rq_retry{@envoy}[$__rate_interval]))",
                "no pod": "60 * sum(rate(envoy_cluster_upstream_cx_none_healthy{@envoy}[$__rate_interval]))",
            },
        ),
        Panel(
            "Setup errors",
            "Pods that refused to start within ten minutes, by the reason.",
            "none",
            {"{{reason}}": "sum by (reason) (max_over_time(lipserve_setup_error{@pods}[10m]))"},
        ),
    ),
)
