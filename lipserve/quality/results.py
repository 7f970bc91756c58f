"""Results of a check: what is known of a video, of each face in it, and of each second of a face."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lipserve.invisible_mark.read import FoundMark
from lipserve.passages import between
from lipserve.text import counted

_TOLD = 0.2  # seconds on silence that are worth a line

Finding = Literal["in_sync", "late", "early", "disagree", "too_short", "no_speech"]


@dataclass(frozen=True)
class Second:
    """One second of a face.

    Attributes:
        second: counted from the video's beginning.
        box: x0, y0, x1, y1 in the second's first frame that shows the face, pixels.
        frames: that show it.
        agreement: of lips and speech in the three seconds around it, -1..1, at the face's offset; None:
            no speech, or too few frames. A wrong speech deviates by 0.2 from 0.
        movement: deviation of the opening of the lips, eye distances: a listener's is below 0.01.
    """

    second: int
    box: tuple[float, float, float, float]
    frames: int
    agreement: float | None
    movement: float


@dataclass(frozen=True)
class CheckedFace:
    """One face within one shot, from where it is first seen to where it is last seen.

    Attributes:
        number: from 1, in the order of appearance.
        shot: index of its shot.
        begin, end: seconds; `seen`: seconds in which it is found, gaps left out.
        finding: what agreement and offset say together.
        agreement: of lips and speech at the offset, -1..1; None where there is no speech.
        needed: agreement that this many frames need to be more than chance.
        offset_ms: by how much the lips come later than the speech; 0 where nothing else is certain.
        at_zero: agreement at an offset of 0.
        lip_leak: share of the frames on silence in which the mouth is open; None: no such frame.
        silent_seconds: how long the face is seen on silence.
        sharpness: detail of the mouth over that of cheeks, nose and chin, the median; None: not measured.
        flicker, flicker_around: mean second difference in time of mouth and of the rest of the face, levels
            of 255; None: not measured.
    """

    number: int
    shot: int
    begin: float
    end: float
    seen: float
    finding: Finding
    agreement: float | None
    needed: float
    offset_ms: float
    at_zero: float | None
    lip_leak: float | None
    silent_seconds: float
    sharpness: float | None
    flicker: float | None
    flicker_around: float | None
    seconds: tuple[Second, ...]


@dataclass(frozen=True)
class Stretch:
    """A stretch of the video: seconds."""

    begin: float
    end: float


@dataclass(frozen=True)
class CheckResult:
    """The measurements of a video.

    Attributes:
        has_speech: whether there was a speech to compare the lips with.
        shots: from cut to cut.
        faces: in the order of appearance.
        faceless: where no face can be followed, for 0.2 s or longer.
        invisible_mark: what is hidden around the mouths, if it was looked for and found.
    """

    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    has_speech: bool
    shots: tuple[Stretch, ...]
    faces: tuple[CheckedFace, ...]
    faceless: tuple[Stretch, ...]
    invisible_mark: FoundMark | None = None

    @property
    def warnings(self) -> list[str]:
        """What should be looked at, with times."""
        return [f"{between(gap.begin, gap.end)}: no face" for gap in self.faceless]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "warnings": self.warnings}

    def rows(self) -> list[str]:
        """Return lines of text."""
        shots, faces = counted(len(self.shots), "shot"), counted(len(self.faces), "face")
        size = f"{self.width}x{self.height} at {self.fps:g} fps"
        lines = [f"{self.seconds:.1f} s, {counted(self.frames, 'frame')} of {size}, {shots}, {faces}"]
        for face in self.faces:
            lines.append(f"face {face.number}, {between(face.begin, face.end)}")
            lines += [f"  {name:<11} {value}" for name, value in _described(face)]
        mark = self.invisible_mark
        found = [f"invisible mark {mark.number} (score {mark.score:.1f})"] if mark else []
        return [*lines, *found, *self.warnings]


def _described(face: CheckedFace) -> list[tuple[str, str]]:
    x0, y0, x1, y1 = face.seconds[0].box
    rows = [("seen", f"{face.seen:.1f} s, first at {x0:.0f},{y0:.0f} to {x1:.0f},{y1:.0f}")]
    if face.agreement is not None:
        chance = f"chance stays below {face.needed:.2f}"
        rows.append(("agreement", f"{face.agreement:.2f} ({chance}): {_found(face)}"))
    else:
        rows.append(("agreement", _found(face)))
    if face.lip_leak is not None and face.silent_seconds >= _TOLD:
        rows.append(
            ("silence", f"mouth open in {face.lip_leak:.0%} of {face.silent_seconds:.1f} s (LipLeak)")
        )
    if face.sharpness is not None:
        rows.append(("sharpness", f"{face.sharpness:.2f} of what is around the mouth"))
    if face.flicker is not None and face.flicker_around is not None:
        rows.append(("flicker", f"{face.flicker:.1f} levels, {face.flicker_around:.1f} around the mouth"))
    return rows


def _found(face: CheckedFace) -> str:
    return {
        "in_sync": "the lips follow the speech",
        "late": f"the lips come {face.offset_ms:.0f} ms late",
        "early": f"the lips come {-face.offset_ms:.0f} ms early",
        "disagree": "lips and speech do not belong together",
        "too_short": "too short to tell",
        "no_speech": "no speech",
    }[face.finding]
