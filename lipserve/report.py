"""The report of a response."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lipserve.files.picture import MAX_SIDE, MAX_VIDEO_FRAMES
from lipserve.text import printable

Text = Annotated[str, Field(max_length=10_000), AfterValidator(printable)]
Frames = Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
Count = Annotated[int, Field(ge=0, lt=2**53)]


class Report(BaseModel):
    """The account of one request; of a segmented clip, `join` of the segments' reports.

    A server's answer is held to these bounds, and to what was asked by the client.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    tier: Text
    weights: Text = Field(description="where the generator's weights come from")
    width: int = Field(ge=1, le=MAX_SIDE, description="of the result, pixels")
    height: int = Field(ge=1, le=MAX_SIDE)
    fps: float = Field(gt=0, le=1000)
    frames: Frames = Field(description="output frames")
    seconds: float = Field(ge=0, description="of the result")
    faces: Count = Field(description="most faces driven in one frame")
    faceless_frames: Frames = Field(description="output frames passed through untouched")
    covered_frames: Frames = Field(
        default=0, description="output frames in which something lay before a mouth, which was left alone"
    )
    untouched_frames: Frames = Field(
        default=0, description="output frames that nobody asked to change: outside of cues, after the speech"
    )
    copied_frames: Frames = Field(
        default=0, description="of the untouched frames, those whose packets are the source's own"
    )
    driven: list[tuple[Frames, Frames]] = Field(
        default=[],
        max_length=10_000,
        description="stretches of frames in which a mouth was driven: the first and the last, from 0",
    )
    detector_calls: Count
    segments: Count = 1
    stage_seconds: dict[Text, float] = Field(
        max_length=64,
        description="summed over segments: preprocess and postprocess at work, generate with its waiting",
    )
    warnings: list[Text] = Field(default=[], max_length=100)


def _driven(reports: list[Report]) -> list[tuple[int, int]]:
    """Return the stretches of driven frames of a clip, rising; those that touch or overlap are one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(stretch for report in reports for stretch in report.driven):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def join(reports: list[Report]) -> Report:
    """Return the report of a clip from those of its segments, in order."""
    first = reports[0]
    stages = {name: sum(r.stage_seconds.get(name, 0.0) for r in reports) for name in first.stage_seconds}
    return first.model_copy(
        update={
            "frames": sum(r.frames for r in reports),
            "seconds": sum(r.seconds for r in reports),
            "faces": max(r.faces for r in reports),
            "faceless_frames": sum(r.faceless_frames for r in reports),
            "covered_frames": sum(r.covered_frames for r in reports),
            "untouched_frames": sum(r.untouched_frames for r in reports),
            "driven": _driven(reports),
            "detector_calls": sum(r.detector_calls for r in reports),
            "segments": len(reports),
            "stage_seconds": {name: round(value, 4) for name, value in stages.items()},
            "warnings": list(dict.fromkeys(w for r in reports for w in r.warnings)),
        }
    )
