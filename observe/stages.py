"""Dashboard of stages and media: the time of a segment by stage, the properties of clips."""

from __future__ import annotations

from observe.panels import Dashboard, Panel

STAGES = Dashboard(
    uid="lipserve-stages",
    title="LipServe: stages and media",
    description="Where the time of a segment goes, and what clips look like.",
    texts={},
    panels=(
        Panel(
            "Seconds of a stage",
            "Mean seconds of work on one segment, leaf calls included.",
            "s",
            {"{{stage}}": "max by (stage) (lipserve:stage_seconds:mean5m{@pods})"},
        ),
        Panel(
            "Seconds of a stage, half of them",
            "Seconds of work on a segment that half of them stay below.",
            "s",
            {
                "{{stage}}": "histogram_quantile(0.5, sum by (le, stage)"
                " (rate(lipserve_stage_seconds_bucket{@pods}[$__rate_interval])))"
            },
        ),
        Panel(
            "A stage's own time",
            "Seconds a second that a stage works itself, without waiting for leaf models: decoding,"
            " pasting, encoding.",
            "none",
            {
                "{{stage}}": "sum by (stage) (rate(lipserve_stage_seconds_sum{@pods}[$__rate_interval]))"
                " - (sum by (stage) (rate(lipserve_leaf_seconds_sum{@pods}[$__rate_interval]))"
                " or 0 * sum by (stage) (rate(lipserve_stage_seconds_sum{@pods}[$__rate_interval])))"
            },
        ),
        Panel(
            "Work on a second of video",
            "Seconds that stages work on one second of video; their sum over the processes bounds the speed.",
            "s",
            {
                "{{stage}}": "sum by (stage) (rate(lipserve_stage_seconds_sum{@pods}[$__rate_interval]))"
                " / on () group_left ()"
                " (sum(rate(lipserve_video_seconds_total{@pods}[$__rate_interval])) > 0)"
            },
        ),
        Panel(
            "Segments at work",
            "Segments that each stage works on; a stage that is always as full as it has processes"
            " is the bottleneck.",
            "none",
            {"{{stage}}": "sum by (stage) (lipserve_segments_in_flight{@pods})"},
        ),
        Panel(
            "Segments begun",
            "Segments a minute that each stage begins.",
            "cpm",
            {
                "{{stage}}": "60 * sum by (stage)"
                " (rate(lipserve_segments_started_total{@pods}[$__rate_interval]))"
            },
        ),
        Panel(
            "Errors by stage",
            "Segments a minute that a stage ended with an error, the client's included.",
            "cpm",
            {
                "{{stage}}": "60 * sum by (stage)"
                ' (rate(lipserve_requests_total{@pods,outcome!="ok"}[$__rate_interval]))'
            },
        ),
        Panel(
            "Frames",
            "Output frames a second, over all pods.",
            "cps",
            {"frames": "sum(rate(lipserve_frames_total{@pods}[$__rate_interval]))"},
        ),
        Panel(
            "Frame rate of clips",
            "Frames over the seconds that they show, in the mean.",
            "none",
            {
                "frames a second": "sum(rate(lipserve_frames_total{@pods}[$__rate_interval]))"
                " / (sum(rate(lipserve_video_seconds_total{@pods}[$__rate_interval])) > 0)"
            },
        ),
        Panel(
            "Faceless frames",
            "Share of frames without a face to drive, and with something before a mouth: they pass through"
            " untouched. An alert warns where faces are missing.",
            "percentunit",
            {
                "covered": "sum(rate(lipserve_covered_frames_total{@pods}[$__rate_interval]))"
                " / (sum(rate(lipserve_frames_total{@pods}[$__rate_interval])) > 0)",
                "15 minutes": "max(lipserve:faceless_ratio:15m{@pods})",
                "1 day": "max(lipserve:faceless_ratio:1d{@pods})",
            },
            at_most=1,
        ),
        Panel(
            "CPU",
            "Share of the node's cores that are busy, as Triton sees them.",
            "percentunit",
            {"{{pod}} {{instance}}": "nv_cpu_utilization{@pods}"},
            at_most=1,
        ),
        Panel(
            "Memory",
            "Taken memory of the node, as Triton sees it.",
            "bytes",
            {"{{pod}} {{instance}}": "nv_cpu_memory_used_bytes{@pods}"},
        ),
        Panel(
            "Storage left",
            "Free share of what holds shared memory, temporary files and the work directory; below"
            " 15 % an alert warns.",
            "percentunit",
            {"{{pod}} {{path}}": "lipserve_storage_free_bytes{@pods} / lipserve_storage_size_bytes{@pods}"},
            at_most=1,
        ),
    ),
)
