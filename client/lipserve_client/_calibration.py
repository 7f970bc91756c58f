"""Calibration of a server: how long it takes for clips of a certain size, measured on clips of our own."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from lipserve import audio
from lipserve.contracts import SAMPLE_RATE
from lipserve.files.picture import Picture
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.report import Report
from lipserve_client._samples import PORTRAIT, SPEECH

SHORT, LONG = 16, 48  # frames of the clips: whole windows of the quality tier
_MOST_PIXELS = 1920 * 1080  # of a picture that is made; the cost of larger ones is taken as proportional
_SLOWEST = Fraction(10)  # frames a second of a clip that is made
_LEAST = 0.5  # share of the longer clip's time that its frames take at the least: a busy machine hides it
_PAN = 3.0  # pixels of the portrait that it moves by, as a talking head does

Dub = Callable[[bytes, bytes], Awaitable[Report]]


@dataclass(frozen=True)
class Sample:
    """One measurement: a number of clips at once, of so many frames each.

    Attributes:
        seconds: until the last one was done. work: seconds of the server's stages together.
    """

    clips: int
    frames: int
    seconds: float
    work: float


@dataclass(frozen=True)
class Calibration:
    """Seconds of a server for clips of one size.

    Attributes:
        fixed, frame: seconds that one clip alone takes, for itself and for each frame.
        shared_fixed, shared: likewise for each segment and each frame, while several segments are in flight.
        work: seconds of the server's stages for each frame.
        spread: the longest of equal measurements over the shortest, 1 or more.
    """

    fixed: float
    frame: float
    shared_fixed: float
    shared: float
    work: float
    spread: float


def of_samples(short: Sample, long: Sequence[Sample], together: Sample, pixels: float) -> Calibration:
    """Return the calibration that measurements make.

    Args:
        long: equal measurements, of more frames than `short`.
        pixels: pixels of the wanted picture over those of the measured one, 1 or more.
    """
    seconds = sum(sample.seconds for sample in long) / len(long)
    frames = long[0].frames
    frame = max((seconds - short.seconds) / (frames - short.frames), _LEAST * seconds / frames)
    moving = frames * frame / seconds  # the share of a clip's time that its frames take
    return Calibration(
        fixed=seconds - frames * frame,
        frame=pixels * frame,
        shared_fixed=(1 - moving) * together.seconds / together.clips,
        shared=pixels * moving * together.seconds / (together.clips * together.frames),
        work=pixels * sum(sample.work for sample in long) / (len(long) * frames),
        spread=max(sample.seconds for sample in long) / min(sample.seconds for sample in long),
    )


def size_of(width: int, height: int) -> tuple[int, int, float]:
    """Return the size of the pictures to measure with, and by how much the wanted ones have more pixels."""
    gain = min(1.0, (_MOST_PIXELS / (width * height)) ** 0.5)
    made = tuple(max(64, 2 * round(side * gain / 2)) for side in (width, height))
    return made[0], made[1], max(1.0, width * height / (made[0] * made[1]))


async def measure(dub: Dub, files: tuple[bytes, bytes], clips: int, frames: int) -> Sample:
    """Return how long clips take that are sent at once."""
    began = time.perf_counter()
    reports = await asyncio.gather(*(dub(*files) for _ in range(clips)))
    seconds = time.perf_counter() - began
    return Sample(clips, frames, seconds, sum(sum(report.stage_seconds.values()) for report in reports))


def clip(width: int, height: int, fps: Fraction, frames: int) -> tuple[bytes, bytes]:
    """Return a video of the client's own portrait, which moves a little, and a speech as long."""
    rate = max(fps, _SLOWEST)
    info = probe.probe(PORTRAIT)
    (portrait,) = decode.read(PORTRAIT, info, 0, 1)
    file = io.BytesIO()
    with VideoWriter(file, width, height, rate, portrait.colour) as writer:
        for number in range(frames):
            writer.write(_moved(portrait, width, height, number))
    samples = np.resize(audio.load(SPEECH), round(frames / rate * SAMPLE_RATE))
    return file.getvalue(), audio.wav(samples)


def _moved(portrait: Picture, width: int, height: int, number: int) -> Picture:
    gain = height / portrait.y.shape[0]
    shift = _PAN * gain * np.array([np.sin(number / 9), np.cos(number / 7)])
    planes = []
    for plane, part in ((portrait.y, 1), (portrait.u, 2), (portrait.v, 2)):
        size = -(-width // part), -(-height // part)
        middle = (size[0] - gain * plane.shape[1]) / 2
        matrix = np.array([[gain, 0, middle + shift[0] / part], [0, gain, shift[1] / part]])
        planes.append(cv2.warpAffine(plane, matrix, size, borderMode=cv2.BORDER_REFLECT_101))
    y, u, v = (np.asarray(plane, np.uint8) for plane in planes)
    return Picture(y, u, v, portrait.colour)
