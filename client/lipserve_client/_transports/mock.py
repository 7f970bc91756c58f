"""A transport without a server, for the tests of programs that use LipServe."""

from __future__ import annotations

import io
from collections.abc import Callable

from lipserve import audio
from lipserve.contracts import PIPELINES, SAMPLE_RATE
from lipserve.errors import ModelNotFoundError
from lipserve.files.picture import VideoInfo
from lipserve.media import decode, encode, probe
from lipserve.options import Options, parse
from lipserve.report import Report
from lipserve.segments import Span, output_frames, source_frames
from lipserve_client._connection import Connection
from lipserve_client._transports.base import Answer, Call, Transport

Handler = Callable[[Call], Answer]


class MockTransport:
    """Answers every call with a function; nothing is sent.

        with Client(transport=MockTransport()) as client:
            result = client.dub("video.mp4", "speech.wav")

    Args:
        handler: returns the outputs of a call, or raises an error of `lipserve` (an `UnavailableError`, say,
            to see what a program does then). None: every video comes back as it is, under the speech.

    Attributes:
        calls: those that were made, in order.
    """

    def __init__(self, handler: Handler | None = None) -> None:
        self._handler = handler or untouched
        self.calls: list[Call] = []

    def __call__(self, connection: Connection) -> Transport:
        return _Mocked(connection, self._answer)

    def _answer(self, call: Call) -> Answer:
        self.calls.append(call)
        return self._handler(call)


class _Mocked(Transport):
    def __init__(self, connection: Connection, handler: Handler) -> None:
        super().__init__(connection)
        self._handler = handler

    async def reach(self) -> None:
        """Do nothing: there is no server."""

    async def infer(self, call: Call, timeout: float) -> Answer:
        return self._handler(call)


def untouched(call: Call) -> Answer:
    """Return the answer of a server that changes no lips: the pictures of VIDEO, and AUDIO.

    Raises:
        ModelNotFoundError: the call is of another model than the ensembles of the tiers.
    """
    if call.model not in PIPELINES:
        raise ModelNotFoundError(
            f"The mock has no model {call.model}.", "Give MockTransport a handler that answers it."
        )
    video, speech = bytes(call.inputs["VIDEO"]), bytes(call.inputs["AUDIO"])
    options = parse(Options, bytes(call.inputs["OPTIONS"]))
    segment = options.segment
    if segment is None:
        info = probe.probe(video)
        length = len(audio.load(speech)) / SAMPLE_RATE
        span = Span(0, output_frames(info, length, options.on_length_mismatch, options.reference))
    else:
        info, span = segment.source, Span(segment.first_frame, segment.frames)
    total = segment.total_frames if segment and segment.total_frames else span.stop
    shown = source_frames(span, info.frames, options.on_length_mismatch, total)
    file = io.BytesIO()
    with encode.VideoWriter(
        file, info.width, info.height, info.fps, info.colour, info.pixel_aspect,
        crf=options.crf, preset="ultrafast", audio=None if segment else speech,
        parameter_set=segment.parameter_set if segment else 0,
    ) as writer:  # fmt: skip
        for picture in decode.read_order(video, info, shown):
            writer.write(picture)
    return {"RESULT": file.getvalue(), "REPORT": _report(call, info, span).model_dump_json().encode()}


def _report(call: Call, info: VideoInfo, span: Span) -> Report:
    width, height = encode.encoded_size(info.width, info.height)
    return Report(
        tier=call.model,
        weights="none: a mock",
        width=width,
        height=height,
        fps=float(info.fps),
        frames=span.count,
        seconds=float(span.count / info.fps),
        faces=0,
        faceless_frames=span.count,
        detector_calls=0,
        stage_seconds={},
    )
