"""Validation of a server's answer to a segment, before anything else reads it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from pydantic import ValidationError

from lipserve.contracts import TierName
from lipserve.errors import InternalError, LipServeError
from lipserve.files.source import demuxed, open_source
from lipserve.media.encode import encoded_size
from lipserve.report import Report
from lipserve.text import counted
from lipserve_client._transports import Answer

_MOST_BYTES = 1 << 18  # of a REPORT
_REMEDY = "Check that client and server are of one version, and that the address is your server's."


@dataclass(frozen=True)
class ResultForm:
    """The properties that the RESULT of a request must have.

    Attributes:
        tier: tier that was called.
        width, height: size of the pictures, pixels.
        fps, frames: frame rate and number of the pictures.
        sound: whether the RESULT contains the speech.
    """

    tier: TierName
    width: int
    height: int
    fps: Fraction
    frames: int
    sound: bool

    def check(self, answer: Answer) -> tuple[bytes, Report]:
        """Return RESULT and REPORT, or raise InternalError if they do not match the request."""
        film, report = answer["RESULT"], answer["REPORT"]
        if not (isinstance(film, bytes) and isinstance(report, bytes)):
            raise InternalError("A tensor of the answer does not have the type BYTES.", _REMEDY)
        read = self._report(report)
        try:
            with open_source(film, InternalError) as container:
                self._film(container)
        except (LipServeError, av.FFmpegError) as error:
            reason = error.message if isinstance(error, LipServeError) else str(error)
            raise InternalError(
                f"The answer's RESULT is not the requested video: {reason}", _REMEDY
            ) from error
        return film, read

    def _report(self, text: bytes) -> Report:
        if len(text) > _MOST_BYTES:
            raise InternalError(f"The server's report is longer than {_MOST_BYTES} bytes.", _REMEDY)
        try:
            report = Report.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(str(part) for part in first["loc"])[:80]
            raise InternalError(
                f"The server's report cannot be read: {name}: {first['msg'][:200]}.", _REMEDY
            ) from error
        claimed = (report.tier, report.width, report.height, report.frames, report.segments)
        true = (self.tier, *encoded_size(self.width, self.height), self.frames, 1)
        late = abs(report.seconds - self.frames / self.fps)
        if claimed != true or abs(report.fps - self.fps) > 1e-3 or late > 1e-3 * self.frames:
            raise InternalError(
                f"The server reports {counted(report.frames, 'frame')} of {report.width}x{report.height} at "
                f"{report.fps:g} fps of the tier {report.tier[:40]}; {self} were requested.",
                _REMEDY,
            )
        if max(report.faceless_frames, report.covered_frames, report.driven_frames) > self.frames:
            raise InternalError("The server reports more frames than the result has.", _REMEDY)
        return report

    def _film(self, container: InputContainer) -> None:
        kinds = ["video", "audio"] if self.sound else ["video"]
        if "mp4" not in container.format.name or [stream.type for stream in container.streams] != kinds:
            raise InternalError(f"It is not an MP4 file with {' and '.join(kinds)}.")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context is None or context.name != "h264":
            raise InternalError("Its pictures are not H.264.")
        size = context.width, context.height
        if size != encoded_size(self.width, self.height):
            raise InternalError(f"Its size is {size[0]}x{size[1]}; {self} were requested.")
        shown = set[Fraction]()
        packets = 0
        for packet in demuxed(container, stream):
            if packet.size:
                packets += 1
                if packet.pts is None or packet.time_base is None or packets > self.frames:
                    break
                shown.add(packet.pts * packet.time_base * self.fps)
        if packets != self.frames or shown != set(map(Fraction, range(self.frames))):
            raise InternalError(f"It has {counted(packets, 'frame')}; {self} were requested.")

    def __str__(self) -> str:
        width, height = encoded_size(self.width, self.height)
        return f"{counted(self.frames, 'frame')} of {width}x{height} at {float(self.fps):g} fps"
