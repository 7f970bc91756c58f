"""Dashboard of the clients: what each has had, what was refused, what it costs."""

from __future__ import annotations

from observe.panels import DEVICES, PRICES, Dashboard, Panel

_BUSY = "sum by (client) (rate(lipserve_client_stage_seconds_total{@pods}[$__rate_interval]))"

CLIENTS = Dashboard(
    uid="lipserve-clients",
    title="LipServe: clients",
    description="Who uses the service, and what each client's part of it costs. A pod names its first hundred"
    " clients; it counts all others together.",
    texts=PRICES,
    panels=(
        Panel(
            "Video of each client",
            "Seconds of video that one second makes for each client.",
            "none",
            {
                "{{client}}": "sum by (client)"
                " (rate(lipserve_client_video_seconds_total{@pods}[$__rate_interval]))"
            },
        ),
        Panel(
            "Frames of each client",
            "Output frames a second that each client was given.",
            "cps",
            {"{{client}}": "sum by (client) (rate(lipserve_client_frames_total{@pods}[$__rate_interval]))"},
        ),
        Panel(
            "Requests of each client",
            "Requests a minute that ended well.",
            "cpm",
            {
                "{{client}}": "60 * sum by (client)"
                ' (rate(lipserve_client_requests_total{@pods,outcome="ok"}[$__rate_interval]))'
            },
        ),
        Panel(
            "Requests that failed",
            "Requests a minute that ended with an error: server_full says that a client sends more than its"
            " part of the service.",
            "cpm",
            {
                "{{client}} {{outcome}}": "60 * sum by (client, outcome)"
                ' (rate(lipserve_client_requests_total{@pods,outcome!="ok"}[$__rate_interval])) > 0'
            },
        ),
        Panel(
            "Part of the work",
            "Each client's part of all seconds of the stages.",
            "percentunit",
            {"{{client}}": f"{_BUSY} / ignoring (client) group_left () sum ({_BUSY})"},
            at_most=1,
        ),
        Panel(
            "Cost of an hour",
            "What the pods cost in an hour, divided by each client's part of the work.",
            "currencyUSD",
            {
                "{{client}}": f"{_BUSY} / ignoring (client) group_left () sum ({_BUSY})"
                f" * ignoring (client) group_left () ({DEVICES} * $price)"
            },
        ),
    ),
)
