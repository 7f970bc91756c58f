"""Dashboard of the GPU and the leaf models: computation, batches, load."""

from __future__ import annotations

from lipserve.contracts import ENSEMBLES
from observe.panels import Dashboard, Panel

# An ensemble never waits and never computes.
_COMPOSING = f'@pods,model!~"{"|".join(model.name for model in ENSEMBLES)}"'

GPU = Dashboard(
    uid="lipserve-gpu",
    title="LipServe: GPU and leaf models",
    description="What computes, in what batches, and how full it is. DCGM panels need NVIDIA's DCGM"
    " exporter.",
    texts={},
    panels=(
        Panel(
            "Engines",
            "TensorRT engines that are served; more than one at a time only while pods are replaced.",
            "none",
            {"{{key}}": "count by (key) (lipserve_engine_info{@pods})"},
            "stat",
        ),
        Panel(
            "GPU memory taken",
            "Of the fullest GPU, as Triton sees it; above 95 % an alert warns.",
            "percentunit",
            {"taken": "max(nv_gpu_memory_used_bytes{@pods} / nv_gpu_memory_total_bytes{@pods})"},
            "stat",
        ),
        Panel(
            "Pinned memory taken",
            "Of the pool that Triton copies through to GPUs; without a GPU there is none.",
            "bytes",
            {"taken": "sum(nv_pinned_memory_pool_used_bytes{@pods})"},
            "stat",
        ),
        Panel(
            "Seconds of a leaf call",
            "Mean seconds that a stage waited for one call of a leaf model, queue and copies included.",
            "s",
            {"{{leaf}}": "max by (leaf) (lipserve:leaf_seconds:mean5m{@pods})"},
        ),
        Panel(
            "Seconds of a leaf call, 95 of 100",
            "Seconds that 95 of 100 calls of a leaf model stay below.",
            "s",
            {
                "{{leaf}}": "histogram_quantile(0.95, sum by (le, leaf)"
                " (rate(lipserve_leaf_seconds_bucket{@pods}[$__rate_interval])))"
            },
        ),
        Panel(
            "Rows of a call",
            "Mean batch that stages give a leaf model; small ones leave a GPU idle.",
            "none",
            {"{{leaf}}": "max by (leaf) (lipserve:leaf_rows:mean5m{@pods})"},
        ),
        Panel(
            "Rows a second",
            "Faces, windows or images that a leaf model computes.",
            "cps",
            {"{{leaf}}": "sum by (leaf) (rate(lipserve_leaf_rows_total{@pods}[$__rate_interval]))"},
        ),
        Panel(
            "Requests of a run",
            "Requests that Triton's batcher joins in one run of a model, in the mean.",
            "none",
            {
                "{{model}}": f"sum by (model) (rate(nv_inference_count{{{_COMPOSING}}}[$__rate_interval]))"
                f" / (sum by (model) (rate(nv_inference_exec_count{{{_COMPOSING}}}[$__rate_interval])) > 0)"
            },
        ),
        Panel(
            "Waiting in Triton's queues",
            "Requests that wait before each model now. Ensembles are left out: they never wait.",
            "none",
            {"{{model}}": f"sum by (model) (nv_inference_pending_request_count{{{_COMPOSING}}})"},
        ),
        Panel(
            "Seconds in Triton's queues",
            "Mean wait of the requests that ended; says nothing of those that still wait, so"
            " nothing scales on it.",
            "s",
            {"{{model}}": "max by (model) (lipserve:queue_seconds:mean5m{@pods})"},
        ),
        Panel(
            "Computing",
            "Seconds of inference a second, by model; 1 is one instance that never rests.",
            "none",
            {
                "{{model}}": "sum by (model)"
                f" (rate(nv_inference_compute_infer_duration_us{{{_COMPOSING}}}[$__rate_interval])) / 1e6"
            },
        ),
        Panel(
            "Failures in Triton",
            "Requests a minute that a model failed, by Triton's reason. BACKEND: a process died.",
            "cpm",
            {
                "{{model}} {{reason}}": "60 * sum by (model, reason)"
                f" (rate(nv_inference_request_failure{{{_COMPOSING}}}[$__rate_interval]))"
            },
        ),
        Panel(
            "GPU utilisation",
            "Share of the time that a GPU ran any kernel, as Triton sees it.",
            "percentunit",
            {"{{pod}} {{gpu_uuid}}": "nv_gpu_utilization{@pods}"},
            at_most=1,
        ),
        Panel(
            "GPU memory",
            "Taken memory of each GPU, that of others included, and what there is.",
            "bytes",
            {
                "{{pod}} {{gpu_uuid}}": "nv_gpu_memory_used_bytes{@pods}",
                "there is": "max(nv_gpu_memory_total_bytes{@pods})",
            },
        ),
        Panel(
            "GPU power",
            "Watts that each GPU draws, and may draw.",
            "watt",
            {"{{pod}} {{gpu_uuid}}": "nv_gpu_power_usage{@pods}", "limit": "max(nv_gpu_power_limit{@pods})"},
        ),
        Panel(
            "Joules of a video second",
            "Energy of the GPUs over the video that was made.",
            "joule",
            {
                "energy": "sum(rate(nv_energy_consumption{@pods}[$__rate_interval]))"
                " / (sum(rate(lipserve_video_seconds_total{@pods}[$__rate_interval])) > 0)"
            },
        ),
        Panel(
            "Tensor cores and multiprocessors",
            "Share of the time that they worked: the honest utilisation. From the DCGM exporter, of"
            " every GPU that it sees.",
            "percentunit",
            {
                "tensor cores {{gpu}}": "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
                "multiprocessors {{gpu}}": "DCGM_FI_PROF_SM_ACTIVE",
            },
            at_most=1,
        ),
        Panel(
            "GPU temperature",
            "Degrees of each GPU from the DCGM exporter; a hot one lowers its clock.",
            "celsius",
            {"{{Hostname}} {{gpu}}": "DCGM_FI_DEV_GPU_TEMP"},
        ),
        Panel(
            "GPU clock",
            "Clock of the multiprocessors from the DCGM exporter; it falls where power or heat is"
            " at its limit.",
            "hertz",
            {"{{Hostname}} {{gpu}}": "DCGM_FI_DEV_SM_CLOCK * 1e6"},
        ),
    ),
)
