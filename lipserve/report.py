"""What a response tells."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Report(BaseModel):
    """The account of one request; of a segmented clip, `join` of the segments' reports."""

    model_config = ConfigDict(extra="forbid")

    tier: str
    weights: str = Field(description="where the generator's weights come from")
    width: int = Field(description="of the result, pixels")
    height: int
    fps: float
    frames: int = Field(description="output frames")
    seconds: float = Field(description="of the result")
    faces: int = Field(description="most faces driven in one frame")
    faceless_frames: int = Field(description="output frames passed through untouched")
    covered_frames: int = Field(
        default=0, description="output frames in which something lay before a mouth, which was left alone"
    )
    detector_calls: int
    segments: int = 1
    stage_seconds: dict[str, float] = Field(
        description="summed over segments: preprocess and postprocess at work, generate with its waiting"
    )
    warnings: list[str] = []


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
            "detector_calls": sum(r.detector_calls for r in reports),
            "segments": len(reports),
            "stage_seconds": {name: round(value, 4) for name, value in stages.items()},
            "warnings": list(dict.fromkeys(w for r in reports for w in r.warnings)),
        }
    )
