"""Estimate of a call before anything of it is sent: frames, seconds, memory, cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lipserve.contracts import NUMPY, TierName, models
from lipserve.errors import OptionsError
from lipserve.options import Options
from lipserve.segments import WARM_UP
from lipserve.text import counted
from lipserve.tiers import TIERS, CropForm
from lipserve_client._calibration import LONG, SHORT, Calibration, Dub, measure, of_samples, size_of
from lipserve_client._calibration import clip as made_clip
from lipserve_client._clip import Clip

UNCERTAINTY = 2.0  # the true time over the estimate, and the other way round: docs/quality.md
_PICTURES = 40  # about, that a request holds: waiting for their crops, decoded, in x264's lookahead
_BACKWARDS = 256  # MiB of pictures that are kept to be shown backwards
_MIB = 1 << 20


@dataclass(frozen=True)
class Estimate:
    """What a call of `dub` will take.

    Attributes:
        width, height, fps, frames, seconds: of the result.
        segments: requests that it is divided into.
        work_seconds: that processes of the server work for it.
        wait_seconds: until it is done, if nobody else uses the server; `least` and `most`: between which it
            is likely to be.
        memory_mib: about, that the server holds for one request; up to `in_flight` are there at once.
        cost: of the seconds of waiting, at `price_per_hour`; None where no price was given.
        calibration_seconds: that the server was measured for.
    """

    tier: TierName
    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    segments: int
    in_flight: int
    work_seconds: float
    wait_seconds: float
    least_seconds: float
    most_seconds: float
    memory_mib: float
    calibration_seconds: float
    price_per_hour: float | None = None

    @property
    def cost(self) -> float | None:
        return None if self.price_per_hour is None else self.price_per_hour * self.wait_seconds / 3600

    @property
    def most_cost(self) -> float | None:
        return None if self.price_per_hour is None else self.price_per_hour * self.most_seconds / 3600

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "cost": self.cost, "most_cost": self.most_cost}

    def rows(self) -> list[str]:
        """Return lines of text."""
        size = f"{self.width}x{self.height} at {self.fps:g} fps"
        likely = f"likely {self.least_seconds:.0f} to {self.most_seconds:.0f}"
        rows = [
            f"result    {self.seconds:.1f} s, {counted(self.frames, 'frame')} of {size}, in "
            f"{counted(self.segments, 'request')}",
            f"time      {self.wait_seconds:.0f} s ({likely}), {self.work_seconds:.0f} s of the server's work",
            f"memory    {self.memory_mib:.0f} MiB on the server for each request, {self.in_flight} at once",
        ]
        if self.cost is not None:
            price = f"at {self.price_per_hour:g} an hour"
            rows.append(f"cost      {self.cost:.4f}, at most {self.most_cost:.4f}, {price}")
        return [*rows, f"measured  on this server for {self.calibration_seconds:.1f} s, with a clip of ours"]


async def calibrate(dub: Dub, clip: Clip, concurrency: int) -> tuple[Calibration, float]:
    """Return how long the server takes for pictures of a clip's size, and for how long it was measured."""
    width, height, pixels = size_of(clip.info.width, clip.info.height)
    short, long = (made_clip(width, height, clip.info.fps, frames) for frames in (SHORT, LONG))
    cold = await measure(dub, short, 1, SHORT)  # its processes may be cold
    brief = await measure(dub, short, 1, SHORT)
    single = [await measure(dub, long, 1, LONG) for _ in range(2)]
    together = await measure(dub, long, min(concurrency, len(clip.spans)), LONG)
    spent = sum(sample.seconds for sample in (cold, brief, *single, together))
    return of_samples(brief, single, together, pixels), spent


def of_clip(
    clip: Clip, tier: TierName, found: Calibration, spent: float, concurrency: int, price: float | None
) -> Estimate:
    """Return the estimate of a clip on a server that was measured."""
    segments, info = len(clip.spans), clip.info
    seen = clip.frames + (segments - 1) * WARM_UP  # each segment looks at the frames before it again
    alone = found.fixed + found.frame * seen
    together = found.shared_fixed * segments + found.shared * seen
    wait = alone if segments == 1 else max(found.fixed + found.frame * seen / segments, together)
    uncertain = UNCERTAINTY * found.spread
    return Estimate(
        tier=tier,
        width=info.width,
        height=info.height,
        fps=float(info.fps),
        frames=clip.frames,
        seconds=round(float(clip.frames / info.fps), 3),
        segments=segments,
        in_flight=min(concurrency, segments),
        work_seconds=round(found.work * seen, 2),
        wait_seconds=round(wait, 2),
        least_seconds=round(wait / uncertain, 2),
        most_seconds=round(wait * uncertain, 2),
        memory_mib=round(memory_of(clip, tier), 1),
        calibration_seconds=round(spent, 2),
        price_per_hour=price,
    )


def memory_of(clip: Clip, tier: TierName) -> float:
    """Return about how many MiB the server holds for one request of a clip."""
    info, longest = clip.info, max(span.count for span in clip.spans)
    pictures = _PICTURES * info.width * info.height * 1.5 / _MIB
    if clip.frames > info.frames and not info.still:
        pictures += min(_BACKWARDS, longest * info.width * info.height * 1.5 / _MIB)
    return pictures + 2 * longest * _row_bytes(tier) / _MIB  # in the stage, and in shared memory on its way


def _row_bytes(tier: TierName) -> int:
    """Return the bytes that the stages hand on for each driven face of a frame."""
    found, side = models(), TIERS[tier].geometry(CropForm()).size
    flows: dict[str, int] = {}
    for step in found[tier].steps:
        for tensor in found[step.model].outputs:
            sides = [size if size > 0 else side for size in tensor.dims[1:]]
            if tensor.dtype != "BYTES" and tensor.name != "SPEECH":
                flows[step.outputs.get(tensor.name, tensor.name)] = int(
                    np.prod(sides, dtype=np.int64) * np.dtype(NUMPY[tensor.dtype]).itemsize
                )
    return sum(flows.values())


def checked_price(price: float | None) -> float | None:
    """Return a price for an hour of the server, or raise OptionsError where it is none."""
    if price is not None and not 0 <= price < 1e9:
        raise OptionsError(f"price_per_hour={price} is not a price.", "Give a number of 0 or more.")
    return price


def plain(options: Options) -> Options:
    """Return the options that cost time, or that a server may demand, for the clips that measure it."""
    kept = options.model_fields_set & {
        "crf", "preset", "consent", "strength", "steps", "guidance", "scheduler", "deepcache", "resolution",
    }  # fmt: skip
    return Options(**{name: getattr(options, name) for name in kept})
