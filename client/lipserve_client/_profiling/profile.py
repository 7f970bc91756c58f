"""The time of servers between two readings of their counters: stages, leaf models, arithmetic.

Stages count their own seconds, and those that they wait for each leaf model; a leaf in a process of ours (the
embedded profile) counts its runs: all on the metrics page. Of another leaf Triton's statistics tell, by whole
runs: in its per-request sums, and so on its metrics page, a run counts once for every request that shares it.
Of the first kind they would count the supervisor's canaries too.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import urllib.request
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lipserve.contracts import STAGES, Form
from lipserve.errors import ConnectError, InternalError, ModelNotFoundError, OptionsError, SetupError
from lipserve.latentsync.flops import leaf_gflop
from lipserve.metrics_page import read_samples
from lipserve_client._config import CONTROL_SECONDS
from lipserve_client._connection import Connection

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

METRICS_PORT = 8002
_PAGE_BYTES = 16 << 20  # the most of a metrics page that is read
_MOST_COUNTED = 2**53  # what is more, or not a number, is no counter that a server has
_OURS = ("lipserve_stage_", "lipserve_leaf_", "lipserve_run_")

_Key = tuple[str, str, str]  # metric, stage, leaf
K = TypeVar("K")


@dataclass(frozen=True)
class LeafProfile:
    """The calls of one leaf model by one stage.

    Attributes:
        calls, rows: requests, and rows of their batches together.
        seconds: that the stage waited for it.
        computing: seconds that the model computed; of several stages' by their rows.
        gflop: 10^9 operations of all rows, where they are known: the quality tier at full width.
    """

    name: str
    calls: int
    rows: int
    seconds: float
    computing: float
    gflop: float | None

    @property
    def tflop_per_second(self) -> float | None:
        return None if self.gflop is None or not self.computing else self.gflop / self.computing / 1e3


@dataclass(frozen=True)
class StageProfile:
    """The work of one stage: `seconds` for `calls` segments, with the waits for its `leaves`."""

    name: str
    calls: int
    seconds: float
    leaves: tuple[LeafProfile, ...]

    @property
    def own(self) -> float:
        """Seconds that are no leaf model's."""
        return self.seconds - sum(leaf.seconds for leaf in self.leaves)


@dataclass(frozen=True)
class Counters:
    """The sum of the counters of all servers since their starts.

    Attributes:
        samples: by metric, stage and leaf ("" for none).
        computing: seconds that models computed, by Triton's statistics.
    """

    samples: Mapping[_Key, float]
    computing: Mapping[str, float]


def metrics_urls(given: Sequence[str], urls: Sequence[str]) -> list[str]:
    """Return the metrics pages: those given, or that of each gRPC address at Triton's usual port."""
    for url in given:
        if not re.fullmatch(r"https?://[^\s/]+/\S*", url):
            raise OptionsError(
                f"{url!r} is not the address of a metrics page.", "For example: http://127.0.0.1:8002/metrics"
            )
    return list(given) or [f"http://{url.rpartition(':')[0]}:{METRICS_PORT}/metrics" for url in urls]


async def look(connections: Sequence[Connection], pages: Sequence[str]) -> Counters:
    """Return the servers' counters, or raise ConnectError or SetupError where a page cannot be read."""
    samples: dict[_Key, float] = defaultdict(float)
    for page in await asyncio.gather(*(asyncio.to_thread(_counted, page) for page in pages)):
        for s in page:
            samples[s.name, s.labels.get("stage", ""), s.labels.get("leaf", "")] += s.value
    computing: dict[str, float] = defaultdict(float)
    for statistics in await asyncio.gather(*(c.ask("get_inference_statistics") for c in connections)):
        for model in statistics.model_stats:
            computing[model.name] += sum(size.compute_infer.ns for size in model.batch_stats) / 1e9
    return Counters(samples, computing)


def _counted(url: str) -> list[Sample]:
    """Return the samples of stages and leaves on a page, without the buckets of histograms."""
    try:
        with urllib.request.urlopen(url, timeout=CONTROL_SECONDS) as answer:
            samples = read_samples(answer.read(_PAGE_BYTES).decode())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ConnectError(
            f"{url} gives no metrics ({error}).",
            "Give the right address with --metrics-url: `lipserve serve` prints it when it is ready.",
        ) from error
    found = [
        sample
        for sample in samples
        if sample.name.startswith(_OURS) and "le" not in sample.labels and 0 <= sample.value < _MOST_COUNTED
    ]
    if not found:
        raise SetupError(
            f"{url} gives no metrics of LipServe.",
            "Give the address of the metrics page of a LipServe server.",
        )
    return found


async def form_of(connection: Connection) -> Form | None:
    """Return the form of the quality tier that a server holds; None where it holds none."""
    try:
        metadata = await connection.ask("get_model_metadata", "denoise_step")
    except ModelNotFoundError:
        return None
    shape = next((list(tensor.shape) for tensor in metadata.outputs if tensor.name == "FEATURES"), [])
    if len(shape) != 6 or not all(0 < size <= 4096 for size in (shape[2], shape[-1])):
        raise InternalError(
            f"{connection.url} states an unknown shape of FEATURES.",
            "Check that client and server are of one version.",
        )
    return Form(resolution=8 * int(shape[-1]), channels=int(shape[2]))


def profile(before: Counters, after: Counters, form: Form | None) -> list[StageProfile]:
    """Return what every stage did between two looks, in the order of the pipeline; idle ones are left out.

    Raises:
        SetupError: the counters stood still, so they are not those of the servers that worked.
    """
    counted = _between(before.samples, after.samples)
    computed = _between(before.computing, after.computing)
    stages = [
        StageProfile(
            stage.name,
            int(counted["lipserve_stage_seconds_count", stage.name, ""]),
            counted["lipserve_stage_seconds_sum", stage.name, ""],
            _leaves(stage.name, counted, computed, leaf_gflop(form) if form else {}),
        )
        for stage in STAGES
    ]
    if not any(stage.calls for stage in stages):
        raise SetupError(
            "The metrics pages do not belong to the servers that worked.",
            "Give the pages of these servers with --metrics-url.",
        )
    return [stage for stage in stages if stage.calls]


def _leaves(
    stage: str, counted: Mapping[_Key, float], computed: Mapping[str, float], gflop: Mapping[str, float]
) -> tuple[LeafProfile, ...]:
    rows = {(s, leaf): n for (metric, s, leaf), n in counted.items() if metric == "lipserve_leaf_rows_total"}
    found = []
    for leaf, own in sorted((leaf, n) for (caller, leaf), n in rows.items() if caller == stage and n):
        every = sum(n for (_, other), n in rows.items() if other == leaf)
        computing = counted.get(("lipserve_run_seconds_sum", "", leaf), computed[leaf])
        found.append(
            LeafProfile(
                leaf,
                int(counted["lipserve_leaf_seconds_count", stage, leaf]),
                int(own),
                counted["lipserve_leaf_seconds_sum", stage, leaf],
                computing * own / every,
                gflop[leaf] * own if leaf in gflop else None,
            )
        )
    return tuple(found)


def _between(before: Mapping[K, float], after: Mapping[K, float]) -> dict[K, float]:
    """Return by how much each counter rose; 0 for one that there is not."""
    return defaultdict(float, {key: value - before.get(key, 0.0) for key, value in after.items()})
