"""What a server may answer to hostile input: a right clip, or a typed refusal, soon and in little memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from lipserve import Client
from lipserve.errors import InputError, LipServeError, from_wire
from lipserve.media import decode, probe
from lipserve.report import Report
from stress import seeds
from stress.cases import Case
from stress.watch import Memory

SLOWEST = 20.0  # seconds
LARGEST = 1 << 30  # bytes that a process may grow by
_MODEL = "lipwarp"
_OPTIONS = b'{"on_no_face": "passthrough"}'


@dataclass(frozen=True)
class Verdict:
    """What became of a case.

    Attributes:
        outcome: `ok`, or the code of an error.
        fault: what is wrong with that; empty: nothing.
        seconds: that it took. grown: bytes, by which a process of the server grew meanwhile.
    """

    outcome: str
    fault: str
    seconds: float
    grown: int


class Judge:
    """Sends cases to a server, one after the other.

    Args:
        url: HOST:PORT of the server.
        memory: of its processes.
    """

    def __init__(self, url: str, memory: Memory) -> None:
        self._client = Client(url, retries=0, timeout=4 * SLOWEST, provenance=False)
        self._triton = InferenceServerClient(url)
        self._memory = memory
        self._right = self.good()

    def close(self) -> None:
        self._client.close()
        self._triton.close()

    def good(self) -> bytes:
        """Return the result of a request that is right."""
        made = self._client.dub(*seeds.good())
        return made.content

    def still_right(self) -> str:
        """Return what is wrong with the answer to the next good request; empty: nothing."""
        try:
            return "" if self.good() == self._right else "the next good request has another result"
        except LipServeError as error:
            return f"the next good request failed: {error.code}: {error}"

    def judge(self, case: Case) -> Verdict:
        held, began = self._memory.forget(), time.monotonic()
        try:
            outcome, fault = self._send(*case.files, case.raw)
        except Exception as error:
            outcome, fault = type(error).__name__, f"untyped: {error!r}"
        seconds, grown = time.monotonic() - began, self._memory.grown(held)
        if not fault and seconds > SLOWEST:
            fault = f"it took {seconds:.1f} s"
        if not fault and grown > LARGEST:
            fault = f"a process grew by {grown / 2**20:.0f} MiB"
        return Verdict(outcome, fault, seconds, grown)

    def _send(self, video: bytes, speech: bytes, raw: bool) -> tuple[str, str]:
        try:
            result, report = self._raw(video, speech) if raw else self._through_client(video, speech)
        except LipServeError as error:
            return error.code, "" if isinstance(error, InputError) else f"{error.code}: {error}"
        return "ok", _wrong(result, report)

    def _through_client(self, video: bytes, speech: bytes) -> tuple[bytes, Report]:
        made = self._client.dub(video, speech, on_no_face="passthrough")
        return made.content, made.report

    def _raw(self, video: bytes, speech: bytes) -> tuple[bytes, Report]:
        inputs = []
        for name, value in (("VIDEO", video), ("AUDIO", speech), ("OPTIONS", _OPTIONS)):
            tensor = InferInput(name, [1], "BYTES")
            tensor.set_data_from_numpy(np.array([value], np.object_))
            inputs.append(tensor)
        try:
            answer = self._triton.infer(_MODEL, inputs, client_timeout=4 * SLOWEST)
        except InferenceServerException as error:
            typed = from_wire(str(error.message()))
            raise (typed or error) from error
        report = Report.model_validate_json(answer.as_numpy("REPORT").item())
        return answer.as_numpy("RESULT").item(), report


def _wrong(result: bytes, report: Report) -> str:
    """Return what a result lacks of what its report tells; empty: nothing."""
    info = probe.probe(result)
    shown = sum(1 for _ in decode.read(result, info))
    if not shown == info.frames == report.frames:
        return f"{shown} frames are shown, {info.frames} are declared, {report.frames} are reported"
    return ""
