"""Smoke test: dub a built-in clip through the whole service and check the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipserve import audio, segments
from lipserve.contracts import DEFAULT_TIER, SAMPLE_RATE, TierName
from lipserve.errors import InputError, VideoError
from lipserve.media import decode, probe
from lipserve.options.consent import TRIAL
from lipserve.report import Report
from lipserve.tiers import named
from lipserve_client._client import Client
from lipserve_client._samples import PORTRAIT, SPEECH

SMOKE_SECONDS = 120.0  # the longest that the service may take
_SPEECH_SECONDS = 2.4
_FPS = Fraction(25)  # of a clip that is made from a picture
_LONGER = 0.1  # seconds that the sound may differ in length: AAC comes in frames
_SAME_SOUND = 0.9  # correlation of how loud both are, video frame by video frame; 0.99 as it should be

# In the portrait, rows and columns; levels are of 8-bit luma.
_MOUTH = (slice(136, 184), slice(96, 160))
_FACE = (slice(40, 208), slice(64, 200))
_BLOCK = 8  # pixels
_CHANGED = 2.0  # levels, mean over the mouth; of the shipped tiers lipwarp gives 23, wav2lip 9
_MOVES = 0.5  # levels, standard deviation over time, mean over the mouth; lipwarp gives 7, wav2lip 4
_STILL = 6.0  # levels, worst block outside the face in any frame; the encoder alone gives 2.6


@dataclass(frozen=True)
class SmokeCheck:
    """One check: its name, its finding, its duration."""

    name: str
    ok: bool
    found: str
    seconds: float


@dataclass(frozen=True)
class SmokeResult:
    """The result of `smoke`.

    Attributes:
        checks: in order: served, frames, sound, faces, mouth, rest.
    """

    checks: tuple[SmokeCheck, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    def rows(self) -> list[str]:
        """Return a line of text for each check."""
        return [
            f"{check.name:8} {'ok' if check.ok else 'FAILED':6} {check.seconds:7.2f} s  {check.found}"
            for check in self.checks
        ]

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks]}


def smoke(client: Client, *, tier: TierName = DEFAULT_TIER, timeout: float = SMOKE_SECONDS) -> SmokeResult:
    """Dub a short talking clip through the service that `client` calls, and check the result.

    The clip is a portrait and 2.4 seconds of speech, both part of this package.

    Args:
        timeout: seconds for the service.

    Raises:
        LipServeError: the service gave no result; the class says why.
    """
    speech = audio.load(SPEECH)[: round(_SPEECH_SECONDS * SAMPLE_RATE)]
    quick = named(tier).quick
    result = client.dub(PORTRAIT, audio.wav(speech), tier=tier, timeout=timeout, consent=TRIAL, **quick)
    again = f", {result.retries} sent again" if result.retries else ""
    found = f"{result.realtime_factor:.2f}x real time{again}; {result.report.weights}"
    served = SmokeCheck("served", True, found, round(result.seconds, 3))
    return SmokeResult((served, *Judge(result.content, result.report, speech).checks()))


class Judge:
    """Compares a result with the portrait and the speech that were sent."""

    def __init__(self, video: bytes, report: Report, speech: NDArray[np.float32]) -> None:
        self._video, self._report, self._speech = video, report, speech
        self._expected = segments.frame_count(len(speech) / SAMPLE_RATE, _FPS)
        self._sent = _luma(PORTRAIT.read_bytes())[0]

    @cached_property
    def _made(self) -> NDArray[np.float32]:
        return _luma(self._video)

    @cached_property
    def _change(self) -> NDArray[np.float32]:
        if self._made.shape[1:] != self._sent.shape:
            raise VideoError("Its size is not that of the portrait.")
        return np.asarray(np.abs(self._made - self._sent), np.float32)

    def checks(self) -> list[SmokeCheck]:
        return [self._timed(check) for check in (self.frames, self.sound, self.faces, self.mouth, self.rest)]

    def frames(self) -> tuple[bool, str]:
        count, report = len(self._made), self._report
        found = f"{count} of {self._expected}, {report.width}x{report.height} at {report.fps:g} fps"
        return count == report.frames == self._expected, found

    def sound(self) -> tuple[bool, str]:
        result = audio.load(self._video)
        is_long, be_long = (len(samples) / SAMPLE_RATE for samples in (result, self._speech))
        loudness = np.stack([audio.envelope(s, _FPS, self._expected) for s in (result, self._speech)])
        alike = float(np.corrcoef(loudness)[0, 1]) if np.ptp(loudness[0]) > 0 else 0.0
        found = f"{is_long:.2f} of {be_long:.2f} s, {alike:.2f} like the speech (at least {_SAME_SOUND})"
        return abs(is_long - be_long) <= _LONGER and alike >= _SAME_SOUND, found

    def faces(self) -> tuple[bool, str]:
        frames, without = self._report.frames, self._report.faceless_frames
        return self._report.faces == 1 and without == 0, f"on {frames - without} of {frames} frames"

    def mouth(self) -> tuple[bool, str]:
        changed = float(self._change[:, *_MOUTH].mean())
        moves = float(self._made[:, *_MOUTH].std(axis=0).mean())
        found = f"changed by {changed:.1f} levels (at least {_CHANGED}), moves by {moves:.1f} ({_MOVES})"
        return changed >= _CHANGED and moves >= _MOVES, found

    def rest(self) -> tuple[bool, str]:
        count, height, width = self._change.shape
        blocks = self._change.reshape(count, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
        worst = blocks.mean(axis=(2, 4)).max(axis=0)
        worst[tuple(slice(side.start // _BLOCK, side.stop // _BLOCK) for side in _FACE)] = 0
        found = f"changed by {worst.max():.1f} levels where most (at most {_STILL:g})"
        return bool(worst.max() <= _STILL), found

    @staticmethod
    def _timed(check: Callable[[], tuple[bool, str]]) -> SmokeCheck:
        began = time.perf_counter()
        try:
            ok, found = check()
        except InputError as error:  # the result is no video, or has no sound: not the caller's input
            ok, found = False, error.message
        return SmokeCheck(check.__name__, ok, found, round(time.perf_counter() - began, 3))


def _luma(video: bytes) -> NDArray[np.float32]:
    """Return the luma float32 [F, H, W], 0..255, of every frame."""
    return np.stack([picture.y for picture in decode.read(video, probe.probe(video))]).astype(np.float32)
