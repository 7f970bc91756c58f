"""Who is in a video, and who speaks: measured by a server, told apart here."""

from __future__ import annotations

from dataclasses import replace

from lipserve.cues import Cue
from lipserve.errors import NoFaceError
from lipserve.files.picture import MediaSource, Picture
from lipserve.looks import look
from lipserve.media import decode
from lipserve.quality.cast import Cast, CastMember, FacesResult
from lipserve.quality.clip import Joiner
from lipserve.segments import Span
from lipserve.show.faces_sheet import Box, Tile, caption, sheet
from lipserve_client._cancel import in_thread
from lipserve_client._check import Inspection, measured
from lipserve_client._fleet import Fleet
from lipserve_client._making import OnProgress


class People:
    """The people of one video.

    Attributes:
        cast: everybody, frame by frame.
    """

    def __init__(self, inspection: Inspection, joiner: Joiner) -> None:
        self._inspection = inspection
        check = joiner.result()
        self._first = {trace.number: trace for trace in joiner.traces}
        looks = [look(self._picture(face.number), face.seconds[0].box) for face in check.faces]
        self.cast = Cast.of(check, joiner.traces, looks, joiner.turns(), joiner.turns(held=True))

    def result(self) -> FacesResult:
        """Return what people are told, with the picture of who is there."""
        told = self.cast.result(b"")
        first: dict[int, list[CastMember]] = {}  # who is first seen in a frame
        for person in told.people:
            first.setdefault(int(self._first[person.faces[0]].frames[0]), []).append(person)
        tiles = [
            Tile(
                self._picture(new[0].faces[0]),
                [caption(one.number, one.begin, one.end, one.speaking) for one in new],
                self._boxes(told, frame),
            )
            for frame, new in first.items()
        ]
        return replace(told, sheet=sheet(tiles, float(self._inspection.info.pixel_aspect)))

    def cues(self, cue: Cue, whole: Span) -> list[Cue]:
        """Return a cue for each stretch in which whom a cue names is to be driven.

        Args:
            whole: the frames of the cue.

        Raises:
            NoFaceError: nobody is; OptionsError: there is no such person.
        """
        fps = self._inspection.info.fps
        found = []
        for span, pixel in self.cast.stretches(cue.face):
            first, stop = max(span.first, whole.first), min(span.stop, whole.stop)
            if first < stop:
                start, end = max(float(first / fps), cue.start), float(stop / fps)
                offset = start - cue.begin
                found.append(Cue(start=start, end=end, face=pixel, speech=cue.speech, offset=offset))
        if not found and cue.face == "speaking" and not self.cast.check.has_speech:
            raise NoFaceError(
                "Who speaks cannot be told: the video has no speech.",
                "Name the face by a pixel or a number: lipserve faces VIDEO.",
            )
        if not found:
            raise NoFaceError(
                f"Nobody is seen who could be meant by face={cue.face}.",
                "See who is there: lipserve faces VIDEO.",
            )
        return found

    def _boxes(self, told: FacesResult, frame: int) -> list[tuple[int, Box]]:
        """Return the number and the box of everybody who is seen in a frame."""
        owners = {face: person.number for person in told.people for face in person.faces}
        found = []
        for trace in self.cast.traces:
            for place in (trace.frames == frame).nonzero()[0].tolist():
                x0, y0, x1, y1 = trace.boxes[place].tolist()
                found.append((owners[trace.number], (x0, y0, x1, y1)))
        return found

    def _picture(self, face: int) -> Picture:
        """Return the picture in which a face is first seen."""
        frame = int(self._first[face].frames[0])
        return next(decode.read(self._inspection.film.file, self._inspection.film.info, frame, 1))


async def find_people(
    fleet: Fleet, video: MediaSource, on_progress: OnProgress | None, concurrency: int
) -> People:
    """Measure a video with its own sound, and tell its people apart."""
    inspection = await in_thread(Inspection, video)
    joiner = Joiner(inspection.info, traced=True)

    await measured(fleet, inspection, joiner, on_progress, concurrency)
    return await in_thread(People, inspection, joiner)
