"""Measurement of a video: the pieces that a server is asked about, and the whole that they make."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lipserve import audio, segments
from lipserve.contracts.lipwarp import LIPWARP_CHECK
from lipserve.errors import InternalError
from lipserve.files.picture import MediaSource
from lipserve.options import CheckOptions
from lipserve.quality.clip import Joiner
from lipserve.quality.face import OVERLAP
from lipserve.quality.measures import Measures
from lipserve.quality.own_sound import early
from lipserve.quality.results import CheckResult
from lipserve.quality.watch import samples_span
from lipserve.segments import SegmentLength, Span
from lipserve_client._cancel import in_thread
from lipserve_client._film import Film
from lipserve_client._fleet import Fleet
from lipserve_client._making import OnProgress
from lipserve_client._run import in_order
from lipserve_client._transports import Call, Expected
from lipserve_client._transports.base import Value

_PIECE = SegmentLength(seconds=10.0, frames=600)
_MOST_BYTES = 1 << 24  # of an answer: eight faces in a thousand frames are 5 MB
_MEASURES_BYTES = 1 << 17  # about
_REMEDY = "Check that client and server are of one version, and that the address is your server's."


class Inspection:
    """A video and a speech, as pieces to be measured.

    Args:
        speech: what the lips should follow; None: the video's own sound, where it has one.
        marks: also look for an invisible mark.
    """

    def __init__(self, video: MediaSource, speech: MediaSource | None = None, marks: bool = False) -> None:
        self.film = Film(video)
        info = self.film.info
        self.info = replace(info, warnings=())  # they do not matter to a measurement
        self.spans = segments.plan(info.frames, info.fps, info.width, info.height, _PIECE)
        self._marks = marks
        self._speech = np.zeros(0, np.float32)
        if speech is not None:
            self._speech = audio.spool(speech, tempfile.gettempdir())
        elif info.has_audio:
            self._speech = _own_sound(video)
        self._peak = audio.whisper_peak(self._speech) if len(self._speech) else None

    def call(self, index: int) -> Call:
        """Return the call that measures a piece, and some frames before it."""
        own = self.spans[index]
        first = max(0, own.first - OVERLAP)
        span = Span(first, own.stop - first)
        options = CheckOptions(
            source=self.info, first=span.first, frames=span.count, invisible_mark=self._marks
        )
        inputs: dict[str, Value] = {"VIDEO": self.film.cut(span)}
        stretch = samples_span(span, self.info.fps, len(self._speech)) if len(self._speech) else Span(0, 0)
        if stretch.count:
            inputs["AUDIO"] = audio.wav(self._speech[stretch.first : stretch.stop])
            heard = {"total_samples": len(self._speech), "peak": self._peak, "first_sample": stretch.first}
            options = options.model_copy(update=heard)
        inputs["OPTIONS"] = options.model_dump_json(exclude_defaults=True).encode()
        return Call(LIPWARP_CHECK.name, inputs, {"MEASURES": Expected(size=_MEASURES_BYTES)})

    def read(self, index: int, answer: Value) -> Measures:
        """Return an answer's measures, or raise InternalError where they are not those of the piece."""
        own = self.spans[index]
        first = max(0, own.first - OVERLAP)
        if not isinstance(answer, bytes) or len(answer) > _MOST_BYTES:
            raise InternalError("MEASURES are no text, or too long a one.", _REMEDY)
        try:
            measures = Measures.model_validate_json(answer)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in fault["loc"])[:80]
            raise InternalError(
                f"The server's measures cannot be read: {name}: {fault['msg'][:200]}.", _REMEDY
            ) from error
        if (measures.first, measures.frames) != (first, own.stop - first):
            raise InternalError("The server measured other frames than those asked for.", _REMEDY)
        return measures


async def measured(
    fleet: Fleet, inspection: Inspection, joiner: Joiner, on_progress: OnProgress | None, concurrency: int
) -> None:
    """Have every piece measured, and add it to `joiner`; a few pieces are in memory at a time."""

    async def work(index: int) -> Measures:
        answer = await fleet.infer(await in_thread(inspection.call, index))
        return await in_thread(inspection.read, index, answer.tensors["MEASURES"])

    async def accept(index: int, measures: Measures) -> None:
        await in_thread(joiner.add, measures, inspection.spans[index])
        if on_progress is not None:
            on_progress(inspection.spans[index].stop, inspection.info.frames)

    await in_order(len(inspection.spans), work, accept, concurrency)


async def check(
    fleet: Fleet,
    video: MediaSource,
    speech: MediaSource | None,
    on_progress: OnProgress | None,
    concurrency: int,
) -> CheckResult:
    """Return the measurements of a video."""
    inspection = await in_thread(Inspection, video, speech, True)
    joiner = Joiner(inspection.info)
    await measured(fleet, inspection, joiner, on_progress, concurrency)
    return await in_thread(joiner.result)


def _own_sound(video: MediaSource) -> NDArray[np.float32]:
    """Return the sound of a video from its first picture on."""
    return audio.spool(video, tempfile.gettempdir())[early(video) :]
