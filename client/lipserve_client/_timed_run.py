"""One result of many pieces in progress: driven, encoded as they are, or copied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from lipserve import report as reports
from lipserve.audio.soundtrack import soundtrack
from lipserve.errors import InternalError, NoFaceError
from lipserve.files.picture import MediaSource
from lipserve.files.source import open_source
from lipserve.media import untouched
from lipserve.media.h264 import ParameterSets
from lipserve.media.join import Joiner, Mixed
from lipserve.media.mark import Mark
from lipserve.report import Report
from lipserve.segments import source_frames
from lipserve_client._cancel import in_thread
from lipserve_client._clip import Clip
from lipserve_client._fleet import Fleet
from lipserve_client._making import Add, Answer, Making, OnProgress
from lipserve_client._output import Output
from lipserve_client._run import in_order
from lipserve_client._timeline import Piece, Timeline


class TimedRun(Making):
    """Makes the pieces of a timeline, and joins them."""

    def __init__(self, fleet: Fleet, timeline: Timeline, on_progress: OnProgress | None) -> None:
        super().__init__(fleet, timeline.frames, on_progress)
        self._line = timeline
        self._reports: dict[int, list[Report]] = {}  # of each clip
        self._faces = 0  # most faces driven in one piece, by all its clips

    async def make(self, output: Output, concurrency: int) -> None:
        """Write the result: the pieces in order, and the sound that goes with them."""
        self._tell(0)
        await self.prepare()
        first = self.first_driven
        begun = {} if first is None else {first: await self.piece(first)}
        async with self.joining(output, *begun.values()) as add:

            async def work(place: int) -> Answer:
                return begun.pop(place) if place in begun else await self.piece(place)

            async def accept(place: int, answer: Answer) -> None:
                await add(place, answer)
                self._tell(self._line.pieces[place].span.count)

            await in_order(len(self._line.pieces), work, accept, concurrency)

    @property
    def clips(self) -> list[Clip]:
        return self._line.clips

    @property
    def counts(self) -> list[int]:
        return [piece.span.count for piece in self._line.pieces]

    @property
    def first_driven(self) -> int | None:
        return next((place for place, piece in enumerate(self._line.pieces) if piece.calls), None)

    @asynccontextmanager
    async def joining(self, output: Output, begun: Answer | None = None) -> AsyncIterator[Add]:
        with ExitStack() as opened:
            sound = await in_thread(opened.enter_context, soundtrack(self._line.sound, self._line.seconds))
            mixed = await in_thread(self._mixed, *([begun] if begun else []))
            fps, streamed = self._line.film.info.fps, output.streamed
            joiner = await in_thread(Joiner, output.file, fps, str(sound), None, mixed, streamed)

            async def add(place: int, answer: Answer) -> None:
                self._keep(place, answer)
                await in_thread(self._join, joiner, self._line.pieces[place], answer)
                await output.taken()

            try:
                yield add
                self.check_faces()
                await in_thread(joiner.close)
            except BaseException:
                await in_thread(joiner.abort)
                raise

    @property
    def speeches(self) -> tuple[MediaSource, ...]:
        return tuple(dict.fromkeys(voice.source for voice in self._line.sound.voices))

    def report(self) -> Report:
        every = [report for number in sorted(self._reports) for report in self._reports[number]]
        line = self._line
        untouched_frames = sum(piece.span.count for piece in line.pieces if not piece.calls)
        copied = sum(piece.span.count for piece in line.pieces if piece.copied)
        if not every:
            return self._nothing_driven(copied)
        joined = reports.join(every)
        return joined.model_copy(
            update={
                "faces": max(self._faces, joined.faces),
                "driven_frames": sum(last + 1 - first for first, last in joined.driven),
                "warnings": [*joined.warnings, *line.warnings],
                "frames": line.frames,
                "seconds": line.seconds,
                "untouched_frames": untouched_frames,
                "copied_frames": copied,
            }
        )

    def _nothing_driven(self, copied: int) -> Report:
        line, info = self._line, self._line.film.info
        return Report(
            tier=line.clips[0].tier if line.clips else "none",
            weights="none: nothing was driven",
            width=info.width + info.width % 2,
            height=info.height + info.height % 2,
            fps=float(info.fps),
            frames=line.frames,
            seconds=line.seconds,
            faces=0,
            faceless_frames=0,
            untouched_frames=line.frames,
            copied_frames=copied,
            detector_calls=0,
            stage_seconds={},
            warnings=[*info.warnings, *line.warnings],
        )

    async def piece(self, place: int) -> Answer:
        piece = self._line.pieces[place]
        if not piece.calls:
            return await in_thread(self._still_as_it_is, piece), ()
        lossless = len(piece.calls) > 1
        answers = [await self._request(clip, index, lossless) for clip, index in piece.calls]
        said = tuple(report for _, report in answers)
        if not lossless:
            return answers[0][0], said
        numbers = [self._line.clips.index(clip) + 1 for clip, _ in piece.calls]
        films = dict(zip(numbers, (film for film, _ in answers), strict=True))
        return await in_thread(self._layered, piece, films), said

    async def _request(self, clip: Clip, index: int, lossless: bool) -> tuple[bytes, Report]:
        try:
            film, report, seconds = await self._sent(clip, index, False, lossless)
        except NoFaceError:
            film, report, seconds = await self._sent(clip, index, True, lossless)
        self.request_seconds.append(seconds)
        return film, report

    def _keep(self, place: int, answer: Answer) -> None:
        """Take account of a piece's reports."""
        said = answer[1]
        self._faces = max(self._faces, sum(report.faces for report in said))
        for (clip, _), report in zip(self._line.pieces[place].calls, said, strict=True):
            self._reports.setdefault(self._line.clips.index(clip), []).append(report)

    def _still_as_it_is(self, piece: Piece) -> bytes:
        """Return an untouched piece: a copy of its packets, or its pictures, encoded."""
        film = self._line.film
        copy = film.piece(piece.span) if piece.copied else None
        return copy or self._layered(piece, {})

    def _layered(self, piece: Piece, layers: dict[int, bytes]) -> bytes:
        line, info, options = self._line, self._line.film.info, self._line.options
        shown = source_frames(piece.span, info.frames, options.on_length_mismatch, line.frames)
        return untouched.encoded(
            line.film.file,
            info,
            shown,
            layers,
            crf=options.crf,
            preset=options.preset,
            parameter_set=line.own_set,
            mark=Mark.of(options.mark, info.width, info.height),
        )

    def _join(self, joiner: Joiner, piece: Piece, answer: Answer) -> None:
        info, first = self._line.film.info, piece.span.first
        if piece.copied:
            joiner.add(answer[0], lambda at: round((at - info.start) * info.fps) - first)
        else:
            joiner.add(answer[0])

    def _mixed(self, *begun: Answer) -> Mixed | None:
        """Return what the track is to be like; None where all pieces are of one kind."""
        line = self._line
        if not any(len(piece.calls) != 1 for piece in line.pieces):
            return None
        options = line.options
        grey = untouched.blank(
            line.film.info, crf=options.crf, preset=options.preset, parameter_set=line.own_set
        )
        sets, delay = _described(grey)
        for film, _ in begun:
            more, least = _described(film)
            sets, delay = sets.merged(more), max(delay, least)
        if line.copy.sets is not None and any(piece.copied for piece in line.pieces):
            sets, delay = line.copy.sets.merged(sets), max(delay, line.copy.delay)
        return Mixed(grey, sets, delay)

    def check_faces(self) -> None:
        for number, found in self._reports.items():
            clip = self._line.clips[number]
            if clip.options.on_no_face == "error" and not any(report.faces for report in found):
                raise self._no_face(clip)

    def _which(self, clip: Clip) -> str:
        return "" if len(self._line.clips) == 1 else f" of cue {self._line.clips.index(clip) + 1}"


def _described(segment: bytes) -> tuple[ParameterSets, int]:
    """Return the parameter sets of a segment, and by how many frames its decoding runs ahead."""
    with open_source(segment, InternalError) as container:
        context = container.streams.video[0].codec_context
        sets = ParameterSets.read(context.extradata)
        if sets is None:
            raise InternalError("A segment does not carry its parameter sets as MP4 does.")
        return sets, context.reorder_depth
