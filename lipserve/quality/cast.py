"""Who is in a film: people with numbers, when each is seen, and when each speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lipserve.errors import OptionsError
from lipserve.looks import Look
from lipserve.passages import between
from lipserve.quality.people import together
from lipserve.quality.results import CheckedFace, CheckResult
from lipserve.quality.speaking import Trace, Turn
from lipserve.segments import Span


@dataclass(frozen=True)
class SpeakerTurn:
    """A stretch of the video in which a person speaks, seconds."""

    person: int
    begin: float
    end: float


@dataclass(frozen=True)
class CastMember:
    """One person of a film.

    Attributes:
        number: from 1, in the order of appearance.
        faces: numbers of the faces of `lipserve check` that are taken for this person, one for each shot.
        begin, end: seconds, from where they are first seen to where they are last seen.
        seen, speaking: for how many seconds.
        box: x0, y0, x1, y1 where they are first seen, pixels.
    """

    number: int
    faces: tuple[int, ...]
    begin: float
    end: float
    seen: float
    speaking: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class FacesResult:
    """Who is in a film, and who speaks when.

    Attributes:
        people: in the order of appearance.
        turns: in order of time.
        sheet: PNG: each person where they are first seen, with boxes and numbers.
    """

    check: CheckResult
    people: tuple[CastMember, ...]
    turns: tuple[SpeakerTurn, ...]
    sheet: bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": self.check.seconds,
            "shots": [asdict(shot) for shot in self.check.shots],
            "people": [asdict(person) for person in self.people],
            "turns": [asdict(turn) for turn in self.turns],
        }

    def rows(self) -> list[str]:
        """Return lines of text."""
        spoken = sum(person.speaking for person in self.people)
        lines = []
        for person in self.people:
            share = f"speaks {person.speaking:.1f} s"
            if spoken:
                share += f", {person.speaking / spoken:.0%} of what is spoken in the picture"
            where = ", ".join(f"{value:.0f}" for value in person.box)
            lines.append(
                f"{person.number}: seen {person.seen:.1f} s, {between(person.begin, person.end)}, {share}; "
                f"first at {where}"
            )
        if not self.check.has_speech:
            lines.append("The video has no speech: nobody is known to speak.")
        return lines if self.people else ["No face is seen."]


@dataclass(frozen=True)
class Cast:
    """Everybody in a film, frame by frame.

    Attributes:
        people: places in `check.faces` of each person's faces.
        turns: who speaks when. driven: the same, through pauses too.
    """

    check: CheckResult
    traces: tuple[Trace, ...]
    people: tuple[tuple[int, ...], ...]
    turns: tuple[Turn, ...]
    driven: tuple[Turn, ...]

    @classmethod
    def of(
        cls,
        check: CheckResult,
        traces: Sequence[Trace],
        looks: Sequence[Look],
        turns: Sequence[Turn],
        driven: Sequence[Turn],
    ) -> Cast:
        """Return a cast; a look for each of `check.faces`."""
        people = tuple(tuple(person) for person in together(check.faces, looks))
        return cls(check, tuple(traces), people, tuple(turns), tuple(driven))

    def result(self, sheet: bytes) -> FacesResult:
        """Return what people are told."""
        owner = {self.check.faces[place].number: who for who, own in enumerate(self.people) for place in own}
        fps = self.check.fps
        turns = [
            SpeakerTurn(
                owner[turn.face] + 1,
                round(turn.span.first / fps, 3),
                round(turn.span.stop / fps, 3),
            )
            for turn in self.turns
        ]
        people = [self._person(who, own, turns) for who, own in enumerate(self.people)]
        return FacesResult(self.check, tuple(people), tuple(turns), sheet)

    def stretches(self, face: str) -> list[tuple[Span, str]]:
        """Return where a face is driven, each stretch with the pixel that it covers there.

        Args:
            face: `speaking`, or the number of a person.

        Raises:
            OptionsError: there is no such person.
        """
        if face == "speaking":
            return [(turn.span, _pixel(turn.x, turn.y)) for turn in self.driven]
        number = int(face)
        if number > len(self.people):
            raise OptionsError(
                f"face={number} is not in the video: {len(self.people)} people are seen.",
                "See who is there: lipserve faces VIDEO.",
            )
        wanted = {self.check.faces[place].number for place in self.people[number - 1]}
        found = []
        for trace in self.traces:
            if trace.number in wanted:
                x0, y0, x1, y1 = trace.boxes[0].tolist()
                first, stop = int(trace.frames[0]), int(trace.frames[-1]) + 1
                found.append((Span(first, stop - first), _pixel((x0 + x1) / 2, (y0 + y1) / 2)))
        return sorted(found, key=lambda item: item[0].first)

    def _person(self, who: int, own: Sequence[int], turns: Sequence[SpeakerTurn]) -> CastMember:
        faces: list[CheckedFace] = [self.check.faces[place] for place in own]
        return CastMember(
            number=who + 1,
            faces=tuple(face.number for face in faces),
            begin=min(face.begin for face in faces),
            end=max(face.end for face in faces),
            seen=round(sum(face.seen for face in faces), 3),
            speaking=round(sum(turn.end - turn.begin for turn in turns if turn.person == who + 1), 3),
            box=faces[0].seconds[0].box,
        )


def _pixel(x: float, y: float) -> str:
    return f"{max(0.0, x):.1f},{max(0.0, y):.1f}"
