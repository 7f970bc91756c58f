"""What one request may ask: its result's frames, and their pixels together."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipserve import segments
from lipserve.errors import LimitError, OptionsError
from lipserve.files.picture import MAX_PIXELS, MAX_SIDE, VideoInfo
from lipserve.options import Options, Segment, parse
from lipserve.tiers import TIERS, WAV2LIP, Tier
from lipserve_server.inside.stages.context import RequestContext, choose_span
from tests.support.videos import FULL_HD


def planned(info: VideoInfo, frames: int) -> RequestContext:
    return RequestContext(
        tier="wav2lip",
        options=Options(),
        source=info,
        first_frame=0,
        frames=frames,
        faces=1,
        faceless_frames=0,
        detector_calls=1,
        warnings=[],
        preprocess_seconds=0.0,
        finished_at=0.0,
    )


@pytest.mark.parametrize(
    ("width", "height", "most"), [(1920, 1080, 3000), (3840, 2160, 759), (8192, 4320, 178), (8191, 4319, 178)]
)
def test_a_result_is_bounded_in_pixels(width: int, height: int, most: int) -> None:
    """Of the size that is encoded: an odd picture gains a row and a column."""
    info = replace(FULL_HD, width=width, height=height)
    assert choose_span(info, most / 25, Options(), WAV2LIP).count == most
    context = planned(info, most)
    assert parse(RequestContext, context.model_dump_json(exclude_unset=True)) == context
    with pytest.raises(LimitError, match="lipserve client"):
        choose_span(info, (most + 1) / 25, Options(), WAV2LIP)
    if most == 3000:
        return
    with pytest.raises(LimitError, match=f"at most {most} of that size"):
        parse(
            RequestContext,
            context.model_copy(update={"frames": most + 1}).model_dump_json(exclude_unset=True),
        )
    segment = Segment(index=0, count=2, first_frame=0, frames=most + 1, first_sample=0, source=info)
    with pytest.raises(LimitError, match="smaller"):
        choose_span(info, 1.0, Options(segment=segment), WAV2LIP)


@given(
    frames=st.integers(1, 100_000),
    fps=st.sampled_from([Fraction(10), Fraction(25), Fraction(60)]),
    width=st.integers(1, MAX_SIDE),
    height=st.integers(1, MAX_SIDE),
    tier=st.sampled_from(list(TIERS.values())),
)
def test_every_segment_of_the_client_is_within(
    frames: int, fps: Fraction, width: int, height: int, tier: Tier
) -> None:
    height = min(height, MAX_PIXELS // width)
    info = replace(FULL_HD, width=width, height=height, fps=fps, frames=frames)
    longest = max(segments.plan(frames, fps, width, height, tier.segment), key=lambda span: span.count)
    segment = Segment(
        index=0, count=1, first_frame=longest.first, frames=longest.count, first_sample=0, source=info
    )
    assert choose_span(info, 1.0, Options(segment=segment), tier) == longest
    width, height = width + width % 2, height + height % 2
    assert 3 * longest.count * width * height < 6_300_000_000


POISONED = {
    "faces": [-1, 9, 10**30],
    "faceless_frames": [-1, 26, 10**30],
    "covered_frames": [-1, 26, 10**30],
    "detector_calls": [-1, 10**30],
    "preprocess_seconds": [-1.0, 1e300, "nan", "inf"],
    "finished_at": [-1.0, 1e300, "nan"],
    "warnings": [["x" * 20_000], ["x"] * 1000],
}


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, vs in POISONED.items() for v in vs])
def test_no_plan_puts_nonsense_into_metrics_and_reports(name: str, value: object) -> None:
    context = json.loads(planned(FULL_HD, 25).model_dump_json(exclude_unset=True))
    parse(RequestContext, json.dumps(context))
    with pytest.raises(OptionsError, match=name if "frames" not in name else "frames"):
        parse(RequestContext, json.dumps({**context, name: value}))
