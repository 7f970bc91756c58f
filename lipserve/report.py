"""The report of a response."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from lipserve.files.picture import MAX_SIDE, MAX_VIDEO_FRAMES
from lipserve.passages import Passage, merged, told
from lipserve.text import printable
from lipserve.verdict import best

Text = Annotated[str, Field(max_length=10_000), AfterValidator(printable)]
Frames = Annotated[int, Field(ge=0, le=MAX_VIDEO_FRAMES)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Score = Annotated[float, Field(ge=-1, le=1)]
Level = Annotated[float, Field(ge=0, le=1020)]


class Quality(BaseModel):
    """Measurements of the mouths that were made, on a sample of four pictures a second before the encoder.

    Agreement is the correlation of lips and speech, as of `lipserve check`; a positive offset: the lips come
    later than the speech. What is told of before is of the source: its lips and its own sound.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    samples: Count = Field(description="mouths that were measured")
    by_offset: list[Score] = Field(
        default=[], max_length=101, description="agreement, by offsets of whole frames, 0 in the middle"
    )
    frame_ms: float = Field(gt=0, le=1e6, description="milliseconds of a frame")
    agreement: Score | None = Field(
        default=None, description="None: the speech asks for nothing, or `unheard` says why it is not known"
    )
    unheard: Text = Field(default="", description="why lips and speech were not compared; empty: they were")
    offset_ms: float = Field(
        default=0.0, ge=-1e6, le=1e6, description="beside `sync_offset_ms`; 0 where no other is certain"
    )
    samples_before: Count = Field(default=0, description="frames of the source that were measured")
    by_offset_before: list[Score] = Field(default=[], max_length=101)
    agreement_before: Score | None = Field(
        default=None, description="None: the video has no sound of its own, or its requests are below 5 s"
    )
    offset_before_ms: float | None = Field(default=None, ge=-1e6, le=1e6)
    silent_samples: Count = Field(default=0, description="of the samples, those on silence")
    lip_leak: float | None = Field(
        default=None, ge=0, le=1, description="share of these in which the mouth is open"
    )
    sharpness: Level | None = Field(default=None, description="detail of the mouth over that around it")
    sharpness_before: Level | None = None
    flicker: Level | None = Field(default=None, description="second difference in time of the mouth, of 255")
    flicker_before: Level | None = None

    def judged(self) -> Quality:
        """Return it with the agreements and offsets that the scores by offset say."""
        # Samples are far apart and so nearly independent: each says as much as 2.5 frames at 25 fps.
        after = _judged(self.by_offset, 2.5 * self.samples)
        before = _judged(self.by_offset_before, self.samples_before * self.frame_ms / 40)
        return self.model_copy(
            update={
                "agreement": after and round(after[0], 3),
                "offset_ms": round(after[1] * self.frame_ms, 1) if after else 0.0,
                "agreement_before": before and round(before[0], 3),
                "offset_before_ms": before and round(before[1] * self.frame_ms, 1),
            }
        )


def _judged(by_offset: list[float], frames: float) -> tuple[float, int] | None:
    """Return the score and the lag of scores by lag, if there are any."""
    if not by_offset:
        return None
    found = best(by_offset)
    lag = found.believed(frames)
    return (found.score if lag else found.at_zero), lag


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
    driven_frames: Frames = Field(default=0, description="output frames in which a mouth was driven")
    passages: list[Passage] = Field(
        default=[], max_length=1000, description="stretches of at least 0.2 s without a face, or covered"
    )
    invisible_mark: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{8}$", description="number around the driven mouths"
    )
    quality: Quality | None = Field(
        default=None, description="measurements of the made mouths; None: none was made, or seen by the mesh"
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
    passages = merged([passage for report in reports for passage in report.passages])
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
            "driven_frames": sum(r.driven_frames for r in reports),
            "passages": passages,
            "invisible_mark": next((r.invisible_mark for r in reports if r.invisible_mark), None),
            "quality": _quality([r.quality for r in reports if r.quality is not None]),
            "detector_calls": sum(r.detector_calls for r in reports),
            "segments": len(reports),
            "stage_seconds": {name: round(value, 4) for name, value in stages.items()},
            "warnings": _warnings(reports, passages),
        }
    )


def _warnings(reports: list[Report], passages: list[Passage]) -> list[str]:
    """Return the warnings of a clip: passages that segments cut are told as one."""
    own = (text for r in reports for text in r.warnings if text not in told(r.passages))
    timed = told(passages)
    return [*list(dict.fromkeys(own))[: 100 - len(timed)], *timed]


def _quality(parts: list[Quality]) -> Quality | None:
    """Return the quality of a clip from that of its segments: means, by the number of samples."""
    if not parts:
        return None
    last = parts[-1]
    means = {
        name: _mean([(getattr(part, name), part.samples) for part in parts])
        for name in ("sharpness", "sharpness_before", "flicker", "flicker_before")
    }
    return last.model_copy(
        update={
            "samples": sum(part.samples for part in parts),
            "by_offset": _curve([(part.by_offset, part.samples) for part in parts]),
            "samples_before": sum(part.samples_before for part in parts),
            "by_offset_before": _curve([(part.by_offset_before, part.samples_before) for part in parts]),
            "unheard": next((part.unheard for part in parts if part.unheard), ""),
            "silent_samples": sum(part.silent_samples for part in parts),
            "lip_leak": _mean([(part.lip_leak, part.silent_samples) for part in parts]),
            **means,
        }
    ).judged()


def _mean(values: list[tuple[float | None, int]]) -> float | None:
    known = [(value, count) for value, count in values if value is not None]
    total = sum(count for _, count in known)
    return round(sum(value * count for value, count in known) / total, 4) if total else None


def _curve(curves: list[tuple[list[float], int]]) -> list[float]:
    known = [(curve, count) for curve, count in curves if curve]
    lengths = {len(curve) for curve, _ in known}
    if len(lengths) != 1:
        return []
    return [_mean([(curve[i], count) for curve, count in known]) or 0.0 for i in range(lengths.pop())]
