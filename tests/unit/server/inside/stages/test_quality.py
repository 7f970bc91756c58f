"""What a report says of the mouths that were made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import portrait
from lipserve import audio
from lipserve.errors import UnavailableError
from lipserve.options import Options
from lipserve.report import Report
from lipserve.tiers import LATENTSYNC
from lipserve_client._clip import Clip
from lipserve_client._samples import SPEECH
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.context import RequestContext
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.repository.manifest import read_crops
from tests.support.lipwarp_stages import Stages
from tests.support.wav2lip_stages import Wav2LipStages
from tests.unit.lipwarp.films import film


@pytest.fixture(scope="module")
def stages(exported: Path) -> Stages:
    return Stages(exported)


def spoken(seconds: float, begin: float = 0.0) -> bytes:
    samples = audio.load(SPEECH.read_bytes())[round(16_000 * begin) :]
    return audio.wav(np.resize(samples, round(16_000 * seconds)))


def reported(stages: Stages, video: bytes, sound: bytes, **options: Any) -> Report:
    return Report.model_validate_json(stages(video, sound, **options)[2]["REPORT"])


def test_made_lips_follow_the_speech_and_an_offset_that_was_asked_for_is_no_fault(
    stages: Stages, shared_data: Callable[[str], Path]
) -> None:
    """The person's own speech agrees by 0.87, and is told of as what was before."""
    video = shared_data("video/LipNet__lbbc2a.mpg").read_bytes()
    report = reported(stages, video, spoken(5.2))
    quality = report.quality
    assert quality is not None
    assert quality.agreement is not None
    assert quality.agreement > 0.7
    assert quality.offset_ms == 0
    assert quality.agreement_before == pytest.approx(0.87, abs=0.05)
    assert quality.samples_before == 75  # every frame once, though the clip shows them to and fro
    assert quality.samples == 11  # every twelfth of 130 frames
    assert (report.driven_frames, report.passages, report.warnings) == (130, [], [])
    assert quality.sharpness == pytest.approx(quality.sharpness_before, rel=0.25)
    assert quality.flicker is not None
    assert 0 < quality.flicker < 6
    early = reported(stages, video, spoken(5.2), sync_offset_ms=200).quality
    assert early is not None
    assert (early.agreement or 0) > 0.7
    assert early.offset_ms == 0


def test_a_mouth_rests_in_silence(stages: Stages) -> None:
    silence = np.concatenate([audio.load(spoken(1.0)), np.zeros(32_000, np.float32)])
    quality = reported(stages, portrait.clip(1.0, (192, 192)), audio.wav(silence)).quality
    assert quality is not None
    assert quality.silent_samples >= 6
    assert quality.lip_leak == 0
    assert quality.agreement_before is None


def test_passages_without_a_face_are_told_with_their_times(stages: Stages) -> None:
    frames = portrait.frames(2.0, (192, 192))
    for frame in frames[10:30]:
        frame[:] = 90
    report = reported(stages, film(frames), spoken(2.0))
    (gap,) = report.passages
    assert gap.what == "no_face"
    assert (gap.begin, gap.end) == (pytest.approx(0.4, abs=0.1), pytest.approx(1.2, abs=0.15))
    assert report.warnings == ["0:00 to 0:01: no face"]
    assert report.driven_frames == 50 - report.faceless_frames
    assert report.quality is not None


def test_a_mesh_that_cannot_be_asked_costs_the_measurement_and_not_the_result(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = Stages(exported)

    def gone(*_: Any) -> None:
        raise UnavailableError("The model face_landmarks is being restarted.", "Try again in a few seconds.")

    monkeypatch.setattr(stages._postprocess, "_leaves", gone)
    answer = stages(portrait.clip(1.0, (192, 192)), spoken(1.0))[2]
    report = Report.model_validate_json(answer["REPORT"])
    assert (report.quality, report.driven_frames) == (None, 25)
    assert len(answer["RESULT"]) > 1000


def test_painted_mouths_are_measured_too(exported: Path, shared_data: Callable[[str], Path]) -> None:
    """Those of the first 7.5 s, against the same speech; `lipserve check` finds 0.34 in this result."""
    video = shared_data("video/LipNet__bbaf2n.mpg").read_bytes()
    answer = Wav2LipStages(exported, hears=True)(video, spoken(10.0))
    quality = Report.model_validate_json(answer["REPORT"]).quality
    assert quality is not None
    assert quality.samples == 16  # every twelfth of 188 frames
    assert quality.agreement == pytest.approx(0.41, abs=0.08)
    assert (quality.offset_ms, quality.unheard) == (0, "")
    assert quality.agreement_before is None  # to hear that costs too much beside pictures of this size
    assert quality.silent_samples > 0
    assert quality.sharpness is not None
    assert quality.sharpness_before == pytest.approx(0.65, abs=0.1)
    assert quality.sharpness < 0.9 * quality.sharpness_before  # 96 pixels for a face of 125


def test_a_server_that_cannot_hear_says_so_and_measures_the_rest(exported: Path) -> None:
    answer = Wav2LipStages(exported)(portrait.clip(1.0, (192, 192)), spoken(1.0))
    quality = Report.model_validate_json(answer["REPORT"]).quality
    assert quality is not None
    assert (quality.agreement, quality.samples) == (None, 5)
    assert quality.unheard == "this server has no tier lipwarp, whose networks hear the speech"
    assert quality.sharpness is not None


@pytest.mark.parametrize("tier", ["lipwarp", "wav2lip"])
def test_a_segment_brings_the_sound_of_its_source(
    tier: Any, exported: Path, shared_data: Callable[[str], Path]
) -> None:
    """In a clip of 24 s, of which the second segment begins in the middle of the video."""
    path = shared_data("video/video-retalking__2.mp4")
    clip = Clip(path, spoken(24.0), Options(preset="ultrafast"), tier)
    assert len(clip.spans) == 2
    stages = Stages(exported) if tier == "lipwarp" else Wav2LipStages(exported, hears=True)
    inputs = clip.request(1).inputs
    video, sound, options = (bytes(inputs[name]) for name in ("VIDEO", "AUDIO", "OPTIONS"))
    rows = stages.preprocess(video, sound, options)
    context = RequestContext.model_validate_json(rows["CONTEXT"])
    assert context.samples_before > 80
    assert context.by_offset_before[len(context.by_offset_before) // 2] == pytest.approx(0.58, abs=0.12)


def test_mouths_of_latentsync_are_measured_where_they_are(exported_latentsync: Path) -> None:
    """Of crops that come back as they were cut: the made mouths look like those of the source."""
    leaves, video, sound = OnnxLeaves(exported_latentsync), portrait.clip(1.0, (192, 192)), spoken(1.0)
    rows = Preprocess(LATENTSYNC, leaves, crops=read_crops(exported_latentsync, LATENTSYNC))(video, sound)
    places = (rows[name] for name in ("TRANSFORMS", "WEIGHTS", "FRAMES", "CONTEXT"))
    answer = Postprocess(exported_latentsync, leaves)(video, sound, rows["FACES"], *places)
    quality = Report.model_validate_json(answer["REPORT"]).quality
    assert quality is not None
    assert (quality.samples, quality.agreement) == (5, None)
    assert quality.unheard
    assert quality.sharpness == pytest.approx(quality.sharpness_before, rel=0.15)
    assert quality.flicker == pytest.approx(quality.flicker_before, abs=1)
