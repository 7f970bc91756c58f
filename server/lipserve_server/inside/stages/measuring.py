"""What the first stage measures, and how the last one measures what was made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve.errors import InputError
from lipserve.files.picture import MediaSource
from lipserve.leaves import Leaves
from lipserve.quality import lips, own_sound
from lipserve.quality.judging import judging
from lipserve.quality.lips import Series
from lipserve.quality.sample import Sampler
from lipserve.report import Quality
from lipserve.tiers import TIERS
from lipserve_server.inside.stages.context import RequestContext

Rows = dict[str, NDArray[Any]]


def lips_of(rows: Rows) -> Series:
    """Return the lip measures [N, 4] of MESHES, each person's by themselves: they are smoothed over time."""
    out = np.zeros((len(rows["MESHES"]), len(lips.MEASURES)))
    for track in np.unique(rows["TRACKS"]):
        own = rows["TRACKS"] == track
        out[own] = lips.measure(rows["MESHES"][own])
    return out


def before(
    leaves: Leaves, video: MediaSource, context: RequestContext, rows: Rows, measures: Series
) -> RequestContext:
    """Return the context with how the source's lips agree with its own sound, where that is there.

    Args:
        video: the request's VIDEO.
        rows: of the faces that are driven; measures: lip measures [N, 4] of the source.
    """
    source = context.source
    paints = TIERS[context.tier].paints
    if not source.has_audio or not own_sound.worth(context.frames, source, paints):
        return context
    shown = context.shown[rows["FRAMES"] - context.first_frame]
    cut = context.options.segment is not None
    try:
        scores, count = own_sound.agreement(leaves, video, source, measures, rows["TRACKS"], shown, cut)
    except InputError:  # its sound matters to nobody else
        return context
    return context.model_copy(update={"by_offset_before": scores, "samples_before": count})


def how_to_judge(
    leaves: Leaves | None, samples: NDArray[np.float32], context: RequestContext, rows: Rows
) -> RequestContext:
    """Return the context with how painted mouths are to be measured.

    Args:
        leaves: None: nobody can hear the speech.
        samples: float32 [n], 16 kHz, the speech that the request holds.
    """
    segment, options = context.options.segment, context.options
    first, peak = (segment.first_sample, segment.peak) if segment else (0, None)
    spoken = samples, first, peak, options.sync_offset_ms
    placed = options.invisible_mark is not None
    found = judging(leaves, *spoken, rows, context.span, context.source, placed)
    return context.model_copy(update={"judging": found})


def quality(sampler: Sampler | None, context: RequestContext) -> Quality | None:
    """Return what the sample says of the mouths that were made, and what the first stage said before."""
    found = sampler.result() if sampler is not None else None
    if found is None:
        return None
    unheard = context.judging.unheard if context.judging is not None else ""
    told = {"by_offset_before": context.by_offset_before, "samples_before": context.samples_before}
    return found.model_copy(update={"unheard": unheard, **told}).judged()
