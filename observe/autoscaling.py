"""Dashboard of autoscaling and of the cost per video minute."""

from __future__ import annotations

from observe.panels import DEVICES, PRICES, Dashboard, Panel

_VIDEO = "(sum(rate(lipserve_video_seconds_total{@pods}[$__rate_interval])) > 0)"

AUTOSCALING = Dashboard(
    uid="lipserve-autoscaling",
    title="LipServe: autoscaling and cost",
    description="What the autoscaler sees and does, and what a minute of video costs at the price"
    " that you type.",
    texts=PRICES,
    panels=(
        Panel(
            "Cost of a video minute",
            "Price of all GPUs that pods hold, idle ones too, over the minutes of video that they make.",
            "currencyUSD",
            {"cost": f"{DEVICES} * $price / 60 / {_VIDEO}"},
            "stat",
        ),
        Panel(
            "GPU seconds of a video second",
            "GPUs held over the speed of the service.",
            "s",
            {"GPU seconds": f"{DEVICES} / {_VIDEO}"},
            "stat",
        ),
        Panel(
            "Cost of an hour",
            "Price of all GPUs that pods hold.",
            "currencyUSD",
            {"cost": f"{DEVICES} * $price"},
            "stat",
        ),
        Panel(
            "Segments waiting and at work",
            "What the autoscaler's triggers read: accepted and not begun, and begun.",
            "none",
            {"waiting": "sum(lipserve:pending{@pods})", "at work": "sum(lipserve:in_flight{@pods})"},
        ),
        Panel(
            "Oldest waits for",
            "How long the first segment in a queue has waited.",
            "s",
            {"{{job}}": "max by (job) (lipserve:oldest_pending_seconds{@pods})"},
        ),
        Panel(
            "Calls without a pod",
            "Calls of two minutes that Envoy had no pod for: what brings the first pod where there is none.",
            "none",
            {"calls": "sum(lipserve:unserved:increase2m{@namespace})"},
        ),
        Panel(
            "Pods",
            "Pods that there are, that are ready and that drain.",
            "none",
            {
                "there are": "count(lipserve_ready{@pods})",
                "ready": "sum(lipserve:pods_ready{@pods})",
                "draining": "sum(lipserve_draining{@pods})",
            },
        ),
        Panel(
            "Replicas wanted and allowed",
            "What the autoscaler wants, and its limits, from kube-state-metrics.",
            "none",
            {
                "wanted": "max(kube_horizontalpodautoscaler_status_desired_replicas{@servers})",
                "most": "max(kube_horizontalpodautoscaler_spec_max_replicas{@servers})",
                "least": "min(kube_horizontalpodautoscaler_spec_min_replicas{@servers})",
            },
        ),
        Panel(
            "Pods at work",
            "Share of the pods that work on any segment.",
            "percentunit",
            {
                "at work": "(count(sum by (pod, instance) (lipserve_segments_in_flight{@pods}) > 0)"
                " or vector(0))"
                " / count(lipserve_ready{@pods})"
            },
            at_most=1,
        ),
        Panel(
            "Seconds of a start",
            "From the start of a pod's process to ready: what scaling out costs in time. Images and"
            " copies come before.",
            "s",
            {"{{pod}} {{instance}}": "lipserve_start_seconds{@pods}"},
        ),
        Panel(
            "Cost of a video minute over time",
            "As above: it falls with load, for idle GPUs cost as much as busy ones.",
            "currencyUSD",
            {"cost": f"{DEVICES} * $price / 60 / {_VIDEO}"},
        ),
        Panel(
            "Speed of a GPU",
            "Seconds of video that one GPU makes in a second.",
            "none",
            {"speed": f"{_VIDEO} / ({DEVICES})"},
        ),
    ),
)
