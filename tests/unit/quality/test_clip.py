"""A video from the measures of its pieces: made faces, whose lips follow a made speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from pydantic import ValidationError

from lipserve.files.picture import Colour, VideoInfo
from lipserve.quality.clip import Joiner
from lipserve.quality.face import OVERLAP
from lipserve.quality.lips import Series
from lipserve.quality.measures import MAX_CHECKED_FRAMES, SHARP_STEP, Measures, Run
from lipserve.quality.results import CheckResult
from lipserve.quality.watch import asked_span, max_lag
from lipserve.segments import Span

FRAMES = 250
LEFT, RIGHT = (10.0, 20.0, 110.0, 140.0), (300.0, 20.0, 400.0, 140.0)


def speaking(seed: int, frames: int = FRAMES) -> Series:
    noise = np.random.default_rng(seed).normal(0, 0.02, (frames + 4, 4))
    return np.asarray(sum(noise[i : i + frames] for i in range(5)))


def rows(series: Series) -> list[tuple[float, float, float, float]]:
    return [(a, b, c, d) for a, b, c, d in series.tolist()]


def info(frames: int = FRAMES, fps: int = 25) -> VideoInfo:
    return VideoInfo(
        width=640, height=360, fps=Fraction(fps), frames=frames, codec="h264", pixel_format="yuv420p",
        rotation=0, pixel_aspect=Fraction(1), colour=Colour(), start=Fraction(0), has_audio=True,
        variable=False, still=False, hdr=None,
    )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A face that is seen in the frames `first .. stop - 1`, of lips [F, 4] of the whole video."""

    lips: Series
    first: int
    stop: int
    track: int = 0
    box: tuple[float, float, float, float] = LEFT
    apart: float = 0.1

    def within(self, span: Span) -> Run | None:
        """Return what a piece shows of it."""
        first, stop = max(self.first, span.first), min(self.stop, span.stop)
        if first >= stop:
            return None
        sharp = range(-(-first // SHARP_STEP) * SHARP_STEP, stop, SHARP_STEP)
        differences = max(0, stop - first - 2)
        return Run(
            track=self.track, first=first, boxes=[self.box] * (stop - first),
            lips=rows(np.clip(self.lips[first:stop] + 0.5, 0, None)),
            apart=[self.apart] * (stop - first), sharpness=[0.8 for _ in sharp],
            flicker=[2.0] * differences, flicker_around=[1.0] * differences,
        )  # fmt: skip


def checked(
    asked: Series,
    runs: Sequence[Shown],
    pieces: int = 1,
    cuts: Sequence[int] = (),
    silent: Sequence[int] = (),
) -> CheckResult:
    """Return what pieces of a video make together, each cut out of the runs as the stage sees them."""
    video = info(len(asked))
    joiner = Joiner(video)
    size = -(-len(asked) // pieces)
    for begin in range(0, len(asked), size):
        own = Span(begin, min(size, len(asked) - begin))
        seen = Span(max(0, begin - OVERLAP), own.stop - max(0, begin - OVERLAP))
        heard = asked_span(seen, video.fps, 640 * len(asked))
        joiner.add(
            Measures(
                first=seen.first, frames=seen.count, asked_first=heard.first,
                asked=rows(asked[heard.first : heard.stop]),
                cuts=[cut for cut in cuts if seen.first < cut < seen.stop],
                silent=[frame in silent for frame in range(seen.first, seen.stop)],
                runs=[part for whole in runs if (part := whole.within(seen)) is not None],
            ),
            own,
        )  # fmt: skip
    return joiner.result()


@pytest.mark.parametrize("lag", [0, 6])
def test_a_face_that_follows_the_speech_is_found_with_its_offset(lag: int) -> None:
    asked = speaking(1)
    result = checked(asked, [Shown(np.roll(asked, lag, 0), 0, FRAMES)])
    (face,) = result.faces
    assert face.agreement == pytest.approx(1, abs=0.03)
    assert face.offset_ms == 40 * lag
    assert face.finding == ("late" if lag else "in_sync")
    assert [second.second for second in face.seconds] == list(range(10))
    assert all(second.agreement > 0.9 for second in face.seconds if second.agreement is not None)
    assert (face.sharpness, face.flicker, face.flicker_around) == (pytest.approx(0.8, abs=0.01), 2, 1)


@pytest.mark.parametrize("pieces", [2, 5])
def test_pieces_give_what_the_whole_gives(pieces: int) -> None:
    asked = speaking(1)
    runs = [Shown(asked + speaking(2), 0, 180), Shown(speaking(3), 30, FRAMES, 1, RIGHT)]
    whole, joined = checked(asked, runs), checked(asked, runs, pieces)
    assert joined == whole
    assert [face.finding for face in whole.faces] == ["in_sync", "disagree"]
    assert whole.faces[0].end == 7.2


def test_of_two_people_the_one_who_speaks_is_known_second_by_second() -> None:
    """A speaks for five seconds, then B; the other's lips rest."""
    asked = speaking(4)
    first, second = asked.copy(), asked.copy()
    first[125:], second[:125] = speaking(5)[125:] / 10, speaking(6)[:125] / 10
    result = checked(asked, [Shown(first, 0, FRAMES), Shown(second, 0, FRAMES, 1, RIGHT)], pieces=3)
    a, b = ([second.agreement for second in face.seconds] for face in result.faces)
    inner = [0, 1, 2, 3, 6, 7, 8, 9]  # a second is judged with those beside it
    assert [(a[i] or 0) > (b[i] or 0) for i in inner] == [True] * 4 + [False] * 4
    assert result.faces[0].seconds[1].movement > 5 * result.faces[0].seconds[8].movement


def test_shots_begin_faces_anew() -> None:
    asked = speaking(1)
    runs = [Shown(asked, 0, 100), Shown(asked, 100, FRAMES)]
    for pieces in (1, 4):
        result = checked(asked, runs, pieces, cuts=[100])
        assert [(shot.begin, shot.end) for shot in result.shots] == [(0, 4), (4, 10)]
        assert [(face.shot, face.begin, face.end) for face in result.faces] == [(0, 0, 4), (1, 4, 10)]


def test_gaps_are_told_and_a_face_that_comes_back_to_its_place_is_the_same() -> None:
    asked = speaking(1)
    runs = [Shown(asked, 10, 60), Shown(asked, 110, 200), Shown(asked, 203, FRAMES)]
    result = checked(asked, runs, pieces=5)
    assert [(face.begin, face.end, face.seen) for face in result.faces] == [(0.4, 10, 7.48)]
    assert [(gap.begin, gap.end) for gap in result.faceless] == [
        (0, 0.4),
        (2.4, 4.4),
    ]  # three frames are none
    assert result.warnings == ["at 0:00: no face", "0:02 to 0:04: no face"]


def test_a_mouth_that_stays_open_on_silence_leaks() -> None:
    asked = speaking(1)
    runs = [Shown(asked, 0, 100, apart=0.3), Shown(asked, 100, FRAMES, apart=0.2)]
    result = checked(asked, runs, pieces=3, silent=range(90, 130))
    assert (result.faces[0].lip_leak, result.faces[0].silent_seconds) == (0.25, 1.6)


@pytest.mark.parametrize(("frames", "finding"), [(39, "too_short"), (40, "in_sync")])
def test_a_short_clip_is_not_judged(frames: int, finding: str) -> None:
    asked = speaking(1, frames)
    (face,) = checked(asked, [Shown(asked, 0, frames)]).faces
    assert face.finding == finding
    assert (face.agreement is None) == (finding == "too_short")


def test_without_speech_only_the_looks_are_measured() -> None:
    joiner = Joiner(info())
    whole = Shown(speaking(1), 0, FRAMES).within(Span(0, FRAMES))
    assert whole is not None
    joiner.add(
        Measures(first=0, frames=FRAMES, cuts=[], asked_first=0, asked=[], silent=[], runs=[whole]),
        Span(0, FRAMES),
    )
    result = joiner.result()
    assert not result.has_speech
    assert result.faces[0].finding == "no_speech"
    assert (result.faces[0].agreement, result.faces[0].lip_leak) == (None, None)
    assert result.faces[0].sharpness == pytest.approx(0.8, abs=0.01)


def test_a_long_video_keeps_few_sums() -> None:
    """Twelve minutes of one face: after ten minutes a second is settled, and every one is told once."""
    frames = 25 * 700
    asked = speaking(1, frames)
    result = checked(asked, [Shown(asked, 0, frames)], pieces=70)
    assert [second.second for second in result.faces[0].seconds] == list(range(700))
    assert min(second.agreement or 0 for second in result.faces[0].seconds) > 0.99


def test_lags_reach_four_tenths_of_a_second_at_every_rate() -> None:
    assert [max_lag(Fraction(fps)) for fps in (25, 60, 1)] == [10, 24, 1]
    assert asked_span(Span(5, 20), Fraction(25), 640 * 30) == Span(0, 30)  # not beyond the speech
    assert asked_span(Span(90, 20), Fraction(25), 640 * 30).count == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"frames": 0}, {"frames": MAX_CHECKED_FRAMES + 1}, {"cuts": [0]}, {"cuts": [99]}, {"first": -1},
        {"asked": [[0, 0, 0, 0]], "silent": []}, {"asked": [[0, 0, 0, 1e9]]}, {"unknown": 1},
        {"runs": [{"lips": []}]}, {"runs": [{"first": 40}]}, {"runs": [{"track": 99}]},
        {"runs": [{"apart": [float("nan")]}]}, {"runs": [{"boxes": [[0, 0, 1, 1e12]]}]},
    ],
)  # fmt: skip
def test_measures_are_held_to_their_bounds(changes: dict[str, object]) -> None:
    asked = speaking(1, 50)
    whole = Shown(asked, 0, 50).within(Span(0, 50))
    assert whole is not None
    sound = Measures(
        first=0, frames=50, cuts=[7], asked_first=0, asked=rows(asked),
        silent=[False] * 50, runs=[whole],
    ).model_dump()  # fmt: skip
    Measures.model_validate(sound)
    runs = changes.get("runs")
    if isinstance(runs, list):
        changes = {"runs": [{**sound["runs"][0], **runs[0]}]}
    with pytest.raises(ValidationError):
        Measures.model_validate({**sound, **changes})


def test_rows_say_what_was_found() -> None:
    asked = speaking(1)
    lines = checked(asked, [Shown(np.roll(asked, -5, 0), 0, FRAMES)], silent=range(50)).rows()
    assert lines[0] == "10.0 s, 250 frames of 640x360 at 25 fps, 1 shot, 1 face"
    assert lines[1] == "face 1, 0:00 to 0:10"
    assert "the lips come 200 ms early" in lines[3]
    assert lines[4].endswith("mouth open in 0% of 2.0 s (LipLeak)")
    nobody = replace(checked(asked, [Shown(asked, 0, 200)]), faces=())
    assert nobody.rows()[1:] == ["0:08 to 0:10: no face"]
