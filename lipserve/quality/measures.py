"""What the stage `lipwarp_check` measures in one piece of a video: the JSON of its answer.

Lists of a run have a row for each of its frames unless they say otherwise. Frames are counted from the
video's first, pixels are those of the upright picture. A receiver holds the answer to these bounds.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lipserve.files.picture import MAX_SIDE, MAX_VIDEO_FRAMES
from lipserve.invisible_mark.cells import cells
from lipserve.tracking import MAX_FACES

MAX_CHECKED_FRAMES = 1000  # of one piece
CELLS = len(cells())
SHARP_STEP = 5  # sharpness is measured in the frames whose number is a multiple of it
_MOST = MAX_CHECKED_FRAMES * MAX_FACES

_Frame = Annotated[int, Field(ge=0, le=2 * MAX_VIDEO_FRAMES)]
_Pixel = Annotated[float, Field(ge=-4 * MAX_SIDE, le=4 * MAX_SIDE)]
_Length = Annotated[float, Field(ge=0, le=100)]  # eye distances
_Asked = Annotated[float, Field(ge=-100, le=100)]
_Level = Annotated[float, Field(ge=0, le=1020)]
_Box = tuple[_Pixel, _Pixel, _Pixel, _Pixel]
_Skin = Annotated[list[Annotated[float, Field(ge=0, le=255)]], Field(min_length=CELLS, max_length=CELLS)]
_Lips = tuple[_Length, _Length, _Length, _Length]


class _Bounded(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Run(_Bounded):
    """One face, seen without a break, within one shot.

    Attributes:
        track: number of the person in this piece: the same in runs before and after a gap, and, where the
            face of another shot lies at the same place, after a cut.
        first: its first frame.
        boxes: x0, y0, x1, y1 of the mesh.
        lips: opening, outer lips, jaw, width, in eye distances (`lipserve.quality.lips`).
        apart: height of the inner lips over their width.
        sharpness: detail of the mouth over that around it, in the frames that SHARP_STEP divides.
        flicker, flicker_around: mean second difference in time of mouth and of the rest of the face, levels
            of 255, of each frame but the first and the last.
        skin: mean luma of the cells of an invisible mark (`lipserve.invisible_mark`); empty: not asked for.
    """

    track: Annotated[int, Field(ge=0, lt=MAX_FACES)]
    first: _Frame
    boxes: Annotated[list[_Box], Field(min_length=1, max_length=MAX_CHECKED_FRAMES)]
    lips: Annotated[list[_Lips], Field(max_length=MAX_CHECKED_FRAMES)]
    apart: Annotated[list[_Length], Field(max_length=MAX_CHECKED_FRAMES)]
    sharpness: Annotated[list[_Length | None], Field(max_length=MAX_CHECKED_FRAMES)]
    flicker: Annotated[list[_Level], Field(max_length=MAX_CHECKED_FRAMES)]
    flicker_around: Annotated[list[_Level], Field(max_length=MAX_CHECKED_FRAMES)]
    skin: Annotated[list[_Skin], Field(max_length=MAX_CHECKED_FRAMES)] = []

    @property
    def stop(self) -> int:
        return self.first + len(self.boxes)

    @model_validator(mode="after")
    def _even(self) -> Run:
        count = len(self.boxes)
        sharp = len(range(-(-self.first // SHARP_STEP) * SHARP_STEP, self.stop, SHARP_STEP))
        differences = max(0, count - 2)
        wanted = (count, count, sharp, differences, differences)
        lists: tuple[list[Any], ...] = (
            self.lips,
            self.apart,
            self.sharpness,
            self.flicker,
            self.flicker_around,
        )
        if tuple(len(own) for own in lists) != wanted or len(self.skin) not in (0, count):
            raise ValueError("lists of different lengths")
        return self


class Measures(_Bounded):
    """The measurements of the frames `first .. first + frames - 1`.

    Attributes:
        cuts: frames that begin another shot; a piece's first frame never does.
        asked_first, asked: lip measures that the speech asks for, from that frame on, up to a constant each;
            they reach farther than the piece on both sides by the largest lag. Empty: no speech was sent.
        silent: of each frame of the piece, whether the speech has been silent for so long, and remains so,
            that the mouth should be at rest; empty without speech.
        runs: in order of their first frame.
    """

    first: _Frame
    frames: Annotated[int, Field(ge=1, le=MAX_CHECKED_FRAMES)]
    cuts: Annotated[list[_Frame], Field(max_length=MAX_CHECKED_FRAMES)]
    asked_first: _Frame
    asked: Annotated[list[tuple[_Asked, _Asked, _Asked, _Asked]], Field(max_length=2 * MAX_CHECKED_FRAMES)]
    silent: Annotated[list[bool], Field(max_length=MAX_CHECKED_FRAMES)]
    runs: Annotated[list[Run], Field(max_length=_MOST)]

    @model_validator(mode="after")
    def _inside(self) -> Measures:
        stop = self.first + self.frames
        inside = all(self.first <= run.first and run.stop <= stop for run in self.runs)
        if not inside or not all(self.first < cut < stop for cut in self.cuts):
            raise ValueError("a run or a cut outside the piece")
        if sum(len(run.boxes) for run in self.runs) > _MOST:
            raise ValueError("more faces than a piece can show")
        if self.asked and len(self.silent) != self.frames:
            raise ValueError("lists of different lengths")
        return self
