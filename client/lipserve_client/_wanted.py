"""The wishes of one call, and the run that fulfils them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lipserve.contracts import TierName
from lipserve.cues import Cue, CueSheet, plan, read
from lipserve.errors import OptionsError
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve_client import _timeline
from lipserve_client._cancel import in_thread
from lipserve_client._clip import Clip
from lipserve_client._film import Film
from lipserve_client._fleet import Fleet
from lipserve_client._making import OnProgress
from lipserve_client._people import find_people
from lipserve_client._run import Run
from lipserve_client._timed_run import TimedRun
from lipserve_client._timeline import OWN_SOUND, Direction


@dataclass(frozen=True)
class Wanted:
    """What one call of `dub` wants.

    Attributes:
        speech: None: the cues name theirs.
        source: a SOURCE that was kept.
    """

    video: MediaSource
    speech: MediaSource | None
    options: Options
    tier: TierName
    source: MediaSource | None
    direction: Direction

    @property
    def files(self) -> tuple[MediaSource, ...]:
        """The files that the result must not overwrite."""
        own = (self.video, self.speech, self.source, *_files(self.direction))
        return tuple(item for item in own if item is not None)

    def run(self, fleet: Fleet, on_progress: OnProgress | None, hasty: bool = False) -> Run | TimedRun:
        """Look at everything that is given, and return the run; InputError where it cannot be served.

        Args:
            hasty: divide the result so that its beginning is soon there.
        """
        _check_levels(self.direction)
        if self.direction.cues is not None:
            if self.source is not None:
                raise OptionsError("A SOURCE cannot be used together with cues.", "Leave it out.")
            line = _timeline.of_cues(self.video, self.speech, self.options, self.tier, self.direction)
            return TimedRun(fleet, line, on_progress)
        if self.speech is None:
            raise OptionsError("There is no speech.", "Give a speech, or cues with a speech each.")
        clip = Clip(self.video, self.speech, self.options, self.tier, self.source, hasty=hasty)
        if _timeline.needs_timeline(clip, self.direction):
            return TimedRun(fleet, _timeline.of_clip(clip, self.speech, self.direction), on_progress)
        return Run(fleet, clip, self.speech, on_progress)


async def with_people(wanted: Wanted, fleet: Fleet, concurrency: int) -> Wanted:
    """Return the same wishes with pixels in place of numbers and `speaking`; the video is measured for that.

    The result is then one of cues: it is as long as the video.
    """
    direction = wanted.direction
    if direction.cues is None and not wanted.options.by_people:
        return wanted
    film = await in_thread(Film, wanted.video)
    info, sheet = film.info, CueSheet()
    if direction.cues is not None:
        sheet = await in_thread(read, direction.cues, info.fps, info.frames)
    if direction.cues is None:
        sheet = CueSheet(cues=(Cue(face=wanted.options.face),))
    if not any(Options(face=cue.face).by_people for cue in sheet.cues):
        return wanted
    people = await find_people(fleet, wanted.video, None, concurrency)
    spans = [
        part.span
        for cue in sheet.cues
        for part in plan(CueSheet(cues=(cue,)), film.info.frames, film.info.fps)
        if part.cues
    ]
    cues: list[Cue] = []
    for cue, span in zip(sheet.cues, spans, strict=True):
        cues += people.cues(cue, span) if Options(face=cue.face).by_people else [cue]
    fields = wanted.options.model_dump(exclude_unset=True)
    options = Options(**{name: value for name, value in fields.items() if name != "face"})
    found = CueSheet(cues=tuple(cues), bypass=sheet.bypass).warned(*sheet.warnings)
    return replace(wanted, options=options, direction=replace(direction, cues=found))


def _files(direction: Direction) -> list[MediaSource | None]:
    """Return the files that cues and sound name, as far as they can be told before anything is read."""
    background = None if direction.background == OWN_SOUND else direction.background
    cues = direction.cues
    if isinstance(cues, str | os.PathLike):
        return [cues, background]
    if isinstance(cues, CueSheet):
        return [*(cue.speech for cue in cues.cues), background]
    listed = cues.get("cues", ()) if isinstance(cues, Mapping) else cues or ()
    named = [cue.speech if isinstance(cue, Cue) else cue.get("speech") for cue in listed]
    return [*named, background]


def _check_levels(direction: Direction) -> None:
    for name in ("background_lufs", "loudness"):
        level = getattr(direction, name)
        if level is not None and not -70 < level <= 0:
            raise OptionsError(f"{name}={level:g} is not a loudness.", "Give LUFS, above -70 and up to 0.")
    if direction.background_lufs is not None and direction.background is None:
        raise OptionsError("background_lufs needs a background.", "Give a background, or leave it out.")
