"""How painted mouths are to be measured: what the first stage of a tier that paints tells the last one."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from lipserve import align
from lipserve.align import Transforms
from lipserve.audio import whisper_peak
from lipserve.audio.blocks import HOP
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.errors import InputError, ServerError
from lipserve.files.picture import VideoInfo
from lipserve.leaves import Leaves
from lipserve.lipwarp import speech
from lipserve.lipwarp.geometry import mouth_transforms
from lipserve.quality import rest
from lipserve.quality.agreement import asked_lips
from lipserve.quality.mouths import Mouths, Rhythm
from lipserve.quality.own_sound import LONGEST
from lipserve.segments import Span
from lipserve.tracking import MAX_FACES

NO_METER = "this server has no tier lipwarp, whose networks hear the speech"
_NO_ANSWER = "the networks that hear the speech did not answer"
_TOO_SHORT = "the speech is too short"
_BLOCK = 8 * SAMPLE_RATE  # samples that the encoder hears at once
_EARLIER = 0.4  # seconds of speech before the first frame
_MOST = 24_000  # rows of a request

_Number = Annotated[float, Field(ge=-1e6, le=1e6)]
_Place = tuple[_Number, _Number, _Number, _Number, _Number, _Number]
_Asked = tuple[_Number, _Number, _Number, _Number]


class Judging(BaseModel):
    """How the mouths of a request are measured: those of its first 7.5 s, one block of the encoder.

    Attributes:
        tracks: of every row.
        places: picture pixel -> pixel of the mouth crop [2, 3], of the rows that are `near` a sample.
        placed: whether `places` has all rows.
        asked: lip measures that the speech asks for, by frames from the request's first; empty: not known.
        quiet: whether the speech is silent, likewise.
        unheard: why they are not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    tracks: Annotated[list[Annotated[int, Field(ge=0, lt=MAX_FACES)]], Field(max_length=_MOST)]
    places: Annotated[list[_Place], Field(max_length=_MOST)]
    placed: bool = False
    asked: Annotated[list[_Asked], Field(max_length=_MOST)] = []
    quiet: Annotated[list[bool], Field(max_length=_MOST)] = []
    unheard: Annotated[str, Field(max_length=200)] = ""

    def mouths(self, frames: NDArray[np.int32], span: Span, info: VideoInfo) -> Mouths:
        """Return the mouths of a request.

        Args:
            frames: int [N], the output frame of each row.
            span: the output frames of the request.

        Raises:
            InputError: the rows are others than those that it was made for.
        """
        stop, rhythm = _stop(span, info), Rhythm.of(info.fps, span.count)
        rows = np.flatnonzero(rhythm.near(frames, stop) | self.placed)
        if (len(self.tracks), len(self.places)) != (len(frames), len(rows)):
            raise InputError("CONTEXT and FRAMES do not fit together.", "Send the output of preprocess.")
        transforms = np.zeros((len(frames), 2, 3), np.float32)
        transforms[rows] = np.array(self.places, np.float32).reshape(-1, 2, 3)
        if len(rows) and (np.abs(np.linalg.det(transforms[rows, :, :2].astype(np.float64))) < 1e-9).any():
            raise InputError(
                "CONTEXT contains places that no mouth can have.", "Send the output of preprocess."
            )
        asked = np.full((span.count, 4), np.nan, np.float32)
        quiet = np.zeros(span.count, np.uint8)
        if self.asked:
            known = min(span.count, len(self.asked))
            asked[:known] = np.array(self.asked, np.float32)[:known]
            quiet[: len(self.quiet)] = self.quiet[: span.count]
        at = frames - span.first
        tracks = np.array(self.tracks, np.int32)
        return Mouths(info.fps, rhythm, frames, tracks, transforms, asked[at], quiet[at], stop)


def judging(
    leaves: Leaves | None,
    samples: Samples,
    first_sample: int,
    peak: float | None,
    offset_ms: float,
    rows: dict[str, NDArray[np.float32]],
    span: Span,
    info: VideoInfo,
    placed: bool = False,
) -> Judging:
    """Return how the mouths of a request are to be measured.

    Args:
        leaves: None: nobody can hear the speech.
        samples, first_sample, peak: the speech that the request holds; the last of the whole one, if known.
        offset_ms: the request's `sync_offset_ms`.
        rows: FRAMES, TRACKS and MESHES of `lipserve.crops.Cropper.rows`.
        span: the output frames of the request.
        placed: say of all mouths where they are.
    """
    frames, tracks = rows["FRAMES"].astype(np.int32), rows["TRACKS"]
    kept = Rhythm.of(info.fps, span.count).near(frames, _stop(span, info)) | placed
    places = np.zeros((len(frames), 2, 3), np.float32)
    for track in np.unique(tracks):
        own = np.flatnonzero(tracks == track)
        places[own] = _mouth_places(rows["MESHES"][own], frames[own], info)
    flat: list[_Place] = [
        (a, b, c, d, e, f) for a, b, c, d, e, f in places[kept].reshape(-1, 6).round(5).tolist()
    ]
    asked: list[_Asked] = []
    quiet: list[bool] = []
    unheard = "" if leaves is not None else NO_METER
    if leaves is not None and len(frames):
        try:
            asked, quiet = _heard(leaves, samples, first_sample, peak, offset_ms, span, info)
        except ServerError:  # a result is worth more than its measurement
            unheard = _NO_ANSWER
        unheard = unheard or ("" if asked else _TOO_SHORT)
    return Judging(
        tracks=tracks.tolist(), places=flat, placed=placed, asked=asked, quiet=quiet, unheard=unheard
    )


def _stop(span: Span, info: VideoInfo) -> int:
    return span.first + min(span.count, round(LONGEST * info.fps))


def _mouth_places(meshes: NDArray[np.float32], frames: NDArray[np.int32], info: VideoInfo) -> Transforms:
    """Return where the mouth crops of one person lie [F, 2, 3], as the tier `lipwarp` would cut them."""
    runs = np.cumsum(np.diff(frames, prepend=frames[:1]) != 1)
    return mouth_transforms(align.smooth(align.estimate(meshes), runs), info.pixel_aspect)


def _heard(
    leaves: Leaves,
    samples: Samples,
    first_sample: int,
    peak: float | None,
    offset_ms: float,
    span: Span,
    info: VideoInfo,
) -> tuple[list[_Asked], list[bool]]:
    """Return what the speech asks of each frame, and whether it is silent there; nothing of no speech."""
    frames = np.arange(span.first, _stop(span, info))
    wanted = round((float(span.first / info.fps) - _EARLIER) * SAMPLE_RATE)
    begin = max(-(-first_sample // HOP), wanted // HOP) * HOP
    part = samples[begin - first_sample :][:_BLOCK]
    if len(part) < 2 * HOP:
        return [], []
    peak = whisper_peak(samples) if peak is None else peak
    moved_ms = offset_ms - 1000 * begin / SAMPLE_RATE  # the stretch is heard as a speech of its own
    shapes = speech.heard(leaves, part, 0, len(part), peak, frames, info.fps, moved_ms)
    quiet = rest.silent(part, begin, peak, frames, info.fps)
    asked = np.clip(asked_lips(shapes), -100, 100).round(5)
    return [(a, b, c, d) for a, b, c, d in asked.tolist()], quiet.tolist()
