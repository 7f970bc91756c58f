"""What a caller wants of a job, and the JSON that a gateway takes."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from lipserve.contracts import DEFAULT_TIER, TierName
from lipserve.cues import Cue, CueSheet, CueSource, read
from lipserve.errors import (
    AudioError,
    CueError,
    LipServeError,
    ModelNotFoundError,
    SourceError,
    VideoError,
)
from lipserve.files.picture import MediaSource
from lipserve.options import Options
from lipserve.text import printable
from lipserve_client._cancel import in_thread
from lipserve_client._film import Film
from lipserve_client._jobs.records import Kind, Priority
from lipserve_client._jobs.uploads import Uploads, is_reference
from lipserve_client._timeline import OWN_SOUND, Direction

log = logging.getLogger("lipserve.jobs")
Offered = Callable[[], Awaitable[tuple[TierName, ...] | None]]
_OF_A_TIER = ("dub", "estimate")
_LONGEST_NAME = 200
_BY_FRAMES = {"frames", "segments"}  # keys of cues that count in frames of the video


@dataclass(frozen=True)
class Wishes:
    """A job before its files are sent.

    Attributes:
        result: where else the result is put.
        name: None: that of the video.
    """

    video: MediaSource
    speech: MediaSource | None = None
    options: Options = field(default_factory=Options)
    tier: TierName = DEFAULT_TIER
    source: MediaSource | None = None
    direction: Direction = field(default_factory=Direction)
    kind: Kind = "dub"
    priority: Priority = "normal"
    webhook: str | None = None
    result: str | None = None
    name: str | None = None
    metadata: Mapping[str, str] | None = None

    async def request(self, uploads: Uploads, offered: Offered) -> dict[str, Any]:
        """Send the files, and return the request.

        Args:
            offered: returns the tiers that there are. Before a file is sent it is asked, and every file is
                looked at.

        Raises:
            ModelNotFoundError: the service has no such tier.
        """
        sheet = await in_thread(self._sheet)
        files = list(self._files(sheet))
        await in_thread(uploads.expect, files)
        if self.kind in _OF_A_TIER and not all(is_reference(file) for file, _ in files):
            self._check_tier(await offered())
        direction = self.direction
        wanted: dict[str, Any] = {
            "kind": self.kind,
            "tier": self.tier,
            "video": await uploads.reference(self.video, VideoError),
            "speech": await _sent(uploads, self.speech, AudioError),
            "source": await _sent(uploads, self.source, SourceError),
            "background": OWN_SOUND
            if direction.background == OWN_SOUND
            else await _sent(uploads, direction.background, AudioError),
            "background_lufs": direction.background_lufs,
            "loudness": direction.loudness,
            "options": self.options.model_dump(mode="json", exclude_unset=True),
            "priority": self.priority,
            "webhook": self.webhook,
            "result": self.result,
            "name": self._name(),
            "metadata": dict(self.metadata or {}),
        }
        if direction.cues is not None:
            wanted["cues"] = [await _cue(uploads, cue) for cue in sheet.cues]
        wanted["bypass"] = [stretch.model_dump() for stretch in sheet.bypass]
        return {name: value for name, value in wanted.items() if value not in (None, [], {})}

    def _check_tier(self, known: tuple[TierName, ...] | None) -> None:
        if known is not None and self.tier not in known:
            raise ModelNotFoundError(
                f"The service has no server with the tier {self.tier}.",
                f"Take one that it has: {', '.join(known)}.",
            )

    def _sheet(self) -> CueSheet:
        """Return the cues and bypasses in LipServe's own form."""
        cues, bypass = self.direction.cues, self.direction.bypass
        given = CueSheet(bypass=tuple(bypass))
        if cues is None:
            return given
        sheet = read(cues, *self._film(cues))
        for text in sheet.warnings:  # a report has them where nobody waits for one
            log.warning("%s", text)
        return CueSheet(cues=sheet.cues, bypass=(*sheet.bypass, *given.bypass))

    def _film(self, cues: CueSource) -> tuple[Fraction, int | None]:
        """Return frame rate and frames of the video, where the cues count in frames."""
        if not _by_frames(cues):
            return Fraction(25), None
        if is_reference(self.video):
            raise CueError(
                "These cues count in frames, and the video is not here.",
                "Give the video as a file, or cues in LipServe's own form: docs/cues.md.",
            )
        film = Film(self.video)
        return film.info.fps, film.info.frames

    def _files(self, sheet: CueSheet) -> Iterator[tuple[MediaSource, type[LipServeError]]]:
        yield self.video, VideoError
        background = None if self.direction.background == OWN_SOUND else self.direction.background
        for sound in (self.speech, background, *(cue.speech for cue in sheet.cues)):
            if sound is not None:
                yield sound, AudioError
        if self.source is not None:
            yield self.source, SourceError

    def _name(self) -> str:
        if self.name is not None:
            return self.name
        if isinstance(self.video, bytes):
            return ""
        path = urlsplit(self.video).path if is_reference(self.video) else os.fspath(self.video)
        return printable(PurePath(path).name)[:_LONGEST_NAME]


async def _sent(uploads: Uploads, source: MediaSource | None, error: type[LipServeError]) -> str | None:
    return None if source is None else await uploads.reference(source, error)


async def _cue(uploads: Uploads, cue: Cue) -> dict[str, Any]:
    fields = cue.model_dump(mode="json", exclude_unset=True, exclude={"speech"})
    speech = await _sent(uploads, cue.speech, AudioError)
    return {**fields, **({} if speech is None else {"speech": speech})}


def _by_frames(cues: CueSource) -> bool:
    """Tell whether cues are in a form that counts in frames; what is wrong with them, `read` says."""
    if isinstance(cues, str | os.PathLike):
        try:
            cues = json.loads(Path(cues).read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
    return isinstance(cues, Mapping) and bool(_BY_FRAMES & cues.keys()) and "cues" not in cues
