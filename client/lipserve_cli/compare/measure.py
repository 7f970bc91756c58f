"""Measurement of one generator on one clip: from the server's start to the file, with the time per part."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lipserve.contracts import WAV2LIP_GENERATOR
from lipserve.tiers import WAV2LIP
from lipserve_cli.compare.generators import Generator
from lipserve_client._client import Client
from lipserve_client._making import OnProgress
from lipserve_client._results import DubResult
from lipserve_server.launcher.embedded import EmbeddedServer

_NAME = WAV2LIP_GENERATOR.name
_BEGUN = re.compile(rf"^(?P<time>\S+ \S+) .*ModelInstanceInitialize: {_NAME}_\d", re.MULTILINE)
_LOADED = re.compile(rf"^(?P<time>\S+ \S+) .*successfully loaded '{_NAME}'", re.MULTILINE)
_READY_SECONDS = 300.0  # a machine that is busy is slow, not broken: the time that it takes is what is told
_TIME = "%Y-%m-%d %H:%M:%S,%f"


@dataclass(frozen=True)
class Seconds:
    """Wall time of one generator by part.

    Attributes:
        load: from the start of the server until every model is ready.
        faces: decoding, finding, following and cropping faces.
        generate: the generator at work, the mel of the speech included.
        merge: pasting the faces back, encoding, adding the sound.
        other: the rest: the client reads, cuts, sends and joins, the server passes on.
    """

    load: float
    faces: float
    generate: float
    merge: float
    other: float

    @property
    def total(self) -> float:
        return self.load + self.faces + self.generate + self.merge + self.other

    def shares(self) -> dict[str, float]:
        """Return each part's share of the total."""
        return {name: value / self.total for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Measured:
    """A generator's result for the clip, and its time.

    Attributes:
        generator_load: seconds of `seconds.load` in which the generator's processes started and read it;
            None where the server's log does not tell.
    """

    generator: Generator
    result: DubResult
    seconds: Seconds
    generator_load: float | None

    @property
    def fps(self) -> float:
        """Frames of the result per second of the total time: loading, generation and merging."""
        return self.result.report.frames / self.seconds.total

    def to_json(self) -> dict[str, Any]:
        generator, report, seconds = self.generator, self.result.report, self.seconds
        return {
            "name": generator.name,
            "variant": generator.variant,
            "weights": generator.weights,
            "random_weights": generator.random,
            "parameters": generator.parameters,
            "macs": generator.macs,
            "framing": generator.framing,
            "frames": report.frames,
            "total_seconds": round(seconds.total, 3),
            "fps": round(self.fps, 3),
            "seconds": {name: round(value, 3) for name, value in asdict(seconds).items()},
            "share": {name: round(value, 4) for name, value in seconds.shares().items()},
            "generator_load_seconds": self.generator_load,
            "faceless_frames": report.faceless_frames,
            "retries": self.result.retries,
            "warnings": report.warnings,
        }


def warm_up(generator: Generator) -> None:
    """Start and stop a server once, so that the first measured one finds its files in memory."""
    server = EmbeddedServer(generator.repository, 0, 0, ready_timeout=_READY_SECONDS)
    try:
        server.start()
    finally:
        server.stop(force=True)


def measure(
    generator: Generator,
    video: Path,
    audio: Path,
    output: Path,
    on_progress: OnProgress | None = None,
) -> Measured:
    """Start a server with the generator, dub the clip, stop the server.

    Segments of a long clip are sent one at a time, so that the times of their stages add up.

    Args:

    Raises:
        LipServeError: the server does not start, or refuses the clip.
    """
    log = output.with_suffix(".log")
    began = time.perf_counter()
    server = EmbeddedServer(generator.repository, 0, 0, log_file=log, ready_timeout=_READY_SECONDS)
    try:
        server.start()
        load = time.perf_counter() - began
        with Client(server.url, concurrency=1) as client:
            result = client.dub(video, audio, tier=WAV2LIP.name, output=output, on_progress=on_progress)
        total = time.perf_counter() - began
    finally:
        server.stop(force=True)  # nothing is in flight
    stages = result.report.stage_seconds
    faces, generate, merge = (stages[name] for name in ("preprocess", "generate", "postprocess"))
    seconds = Seconds(load, faces, generate, merge, max(0.0, total - load - faces - generate - merge))
    return Measured(generator, result, seconds, own_load(log.read_text(errors="replace")))


def own_load(log: str) -> float | None:
    """Return the generator's load time in seconds, from the server's log; None if it is not there."""
    begun, loaded = _BEGUN.search(log), _LOADED.search(log)
    if begun is None or loaded is None:
        return None
    times = [datetime.strptime(match["time"], _TIME) for match in (begun, loaded)]
    return (times[1] - times[0]).total_seconds()
