"""Rows of the report: one per clip, and one per tier in it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from lipserve.contracts import TierName
from lipserve_training.evaluate.clips import Split


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sync(_Record):
    """SyncNet's figures of a video and its speech."""

    lse_d: float
    lse_c: float
    av_offset: int


class TierRow(_Record):
    """The measures of one tier in one clip, each as `motion`, `closure`, `picture` or `lpips` tells.

    Attributes:
        agreement, lag, agreement_at_zero: of the mouth's opening with the true one; frames at 25 fps.
        wrong_audio: the agreement of the same pictures driven by the speech of other clips.
        amplitude: of the opening, beside the true one's.
        open_on_silence: a share of the opening's range. lip_leak: a share of frames.
        closures: the opening at each m, b and p, a share of the person's range.
        sharpness: the true frames' is 1.
        psnr: dB.
        lpips: of a few frames; None where the network is not installed.
        lpips_untouched: of the driven pictures themselves, whose heads and mouths are of another moment.
        chroma_shift: of U or V, whichever is more, levels of 255.
        border_step: beyond the step of the driven picture, levels of 255.
        border_step_unnatural: beyond that of the true picture as well, whose jaw is where speech wants it.
        flicker: the true frames' is 1.
    """

    agreement: float
    lag: int
    agreement_at_zero: float
    wrong_audio: list[float]
    amplitude: float
    open_on_silence: float
    lip_leak: float
    closures: list[float]
    sharpness: float
    psnr: float
    lpips: float | None
    lpips_untouched: float | None
    chroma_shift: float
    border_step: float
    border_step_unnatural: float
    flicker: float
    sync: Sync | None = None


class Row(_Record):
    """One clip.

    Attributes:
        sentence: of GRID, where the file's name tells one.
        face_side: of the face crop, pixels of the picture.
        offset: frames by which the lips came later than the file's sound; corrected before all measures.
        in_sync: whether the meter finds the true lips and the speech together.
        closures: of the true video. sync: of the true video.
    """

    clip: str
    speaker: str
    split: Split
    sentence: str | None
    frames: int
    face_side: int
    offset: int
    in_sync: bool
    closures: list[float]
    sync: Sync | None = None
    tiers: dict[TierName, TierRow]


class ColourRow(_Record):
    """A clip that is judged for its colours alone: the shift of each tier, levels of 255."""

    clip: str
    frames: int
    chroma_shift: dict[TierName, float]
