"""A result that is too large ends early, and encoding ends when nobody waits for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipserve import audio
from lipserve.errors import CancelledError, LimitError
from lipserve.files.picture import Colour, Picture
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.media.mark import Mark
from lipserve.options import Options
from lipserve.report import Report
from lipserve_server.inside.limits import MIB, Limits
from lipserve_server.inside.metrics import SilentObserver
from lipserve_server.inside.stages.context import RequestContext
from lipserve_server.inside.stages.delivery import Delivery

FRAMES = 40
SOUND = audio.wav(np.zeros(16000 * FRAMES // 25, np.float32))


@pytest.fixture(scope="module")
def noise() -> bytes:
    """What cannot be compressed: 115 kB a frame where nothing is lost."""
    file, rng = io.BytesIO(), np.random.default_rng(7)
    with VideoWriter(file, 320, 240, Fraction(25), Colour(), crf=10) as writer:
        for _ in range(FRAMES):
            planes = (rng.integers(16, 235, size, np.uint8) for size in ((240, 320), (120, 160), (120, 160)))
            writer.write(Picture(*planes, Colour()))
    return file.getvalue()


@pytest.fixture
def deliver(tmp_path: Path, noise: bytes) -> Callable[..., dict[str, bytes]]:
    info = probe.probe(noise)

    def call(limits: Limits, observer: SilentObserver | None = None, **options: object) -> dict[str, bytes]:
        context = RequestContext(
            tier="wav2lip",
            options=Options(**options),
            source=info,
            first_frame=0,
            frames=FRAMES,
            faces=0,
            faceless_frames=FRAMES,
            detector_calls=0,
            warnings=[],
            preprocess_seconds=0.0,
            finished_at=0.0,
        )
        edges = np.zeros(FRAMES + 1, np.int64)
        edges[3:] = 1  # a mouth in frame 2 alone
        deliver = Delivery(tmp_path, observer, limits)
        return deliver(noise, SOUND, context, lambda index, picture: None, edges, 0.0)

    return call


def test_a_result_within_its_bytes_is_given(deliver: Callable[..., dict[str, bytes]]) -> None:
    result = deliver(Limits(result_mib=20), crf=0, preset="ultrafast")["RESULT"]
    assert 2 * MIB < len(result) < 20 * MIB
    assert probe.probe(result).frames == FRAMES


def test_a_result_beyond_its_bytes_ends_where_they_are_reached(
    deliver: Callable[..., dict[str, bytes]],
) -> None:
    class Counts(SilentObserver):
        pictures = 0

        def raise_if_cancelled(self) -> None:
            self.pictures += 1

    whole, part = Counts(), Counts()
    deliver(Limits(result_mib=20), whole, crf=0, preset="ultrafast")
    with pytest.raises(LimitError, match=r"larger than the 1 MiB .* higher crf"):
        deliver(Limits(result_mib=1), part, crf=0, preset="ultrafast")
    assert whole.pictures == FRAMES
    assert part.pictures < FRAMES * 3 / 4, "nine fill a MiB, and x264 holds some back"


def test_a_plan_beyond_the_limits_is_refused_at_once(
    deliver: Callable[..., dict[str, bytes]],
) -> None:
    for limits, name in (
        (Limits(crf=10), "crf=9"),
        (Limits(preset="fast"), "preset=slow"),
        (Limits(pixels=320 * 240 - 1), "320x240"),
    ):
        with pytest.raises(LimitError, match=name):
            deliver(limits, crf=9, preset="slow")


def test_encoding_ends_with_the_picture_at_which_its_caller_leaves(
    deliver: Callable[..., dict[str, bytes]],
) -> None:
    class Leaves(SilentObserver):
        looks = 0

        def raise_if_cancelled(self) -> None:
            self.looks += 1
            if self.looks == 4:
                raise CancelledError("The caller gave up.")

    observer = Leaves()
    with pytest.raises(CancelledError):
        deliver(Limits(), observer)
    assert observer.looks == 4


def test_the_report_tells_which_frames_were_driven(deliver: Callable[..., dict[str, bytes]]) -> None:
    report = Report.model_validate_json(deliver(Limits(result_mib=20), preset="ultrafast")["REPORT"])
    assert report.driven == [(2, 2)]


def test_a_mark_is_in_every_picture(deliver: Callable[..., dict[str, bytes]]) -> None:
    limits, fast = Limits(result_mib=20), {"crf": 10, "preset": "ultrafast"}
    plain, marked = (deliver(limits, **fast, **mark)["RESULT"] for mark in ({}, {"mark": "AI"}))
    mark = Mark.of("AI", 320, 240)
    assert mark is not None
    for one, other in zip(*(decode.read(film, probe.probe(film)) for film in (plain, marked)), strict=True):
        change = np.abs(one.y.astype(int) - other.y)
        assert change[mark.top :, mark.left :].mean() > 30
        assert change[: mark.top - 8].mean() < 6
