"""The stage that measures videos, on the shipped networks: real faces, and requests that it must refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import portrait
from lipserve import audio
from lipserve.contracts.lipwarp import LIPWARP_CHECK
from lipserve.errors import AudioError, InputError, LimitError, OptionsError, VideoError
from lipserve.media import probe
from lipserve.options import CheckOptions
from lipserve.quality.clip import Joiner
from lipserve.quality.measures import MAX_CHECKED_FRAMES, Measures
from lipserve.quality.results import CheckResult
from lipserve.segments import Span
from lipserve_client._check import Inspection
from lipserve_client._samples import SPEECH
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.limits import Limits
from lipserve_server.inside.stages.lipwarp_check import LipwarpCheck
from lipserve_server.inside.tensors import fits

TALKING = "video/LipNet__lbbc2a.mpg"  # 75 frames, of a speaker of the training set


@pytest.fixture(scope="module")
def stage(exported: Path) -> LipwarpCheck:
    return LipwarpCheck(OnnxLeaves(exported))


@cache
def clip(seconds: float = 1.2) -> bytes:
    return portrait.clip(seconds, (192, 192))


@cache
def speech() -> bytes:
    return audio.wav(audio.load(SPEECH.read_bytes())[:19_200])


def checked(stage: LipwarpCheck, video: Path, sound: bytes | None = None) -> CheckResult:
    """Return the measurements of a video, asked for as the client asks."""
    inspection = Inspection(video, sound)
    joiner = Joiner(inspection.info)
    for index, own in enumerate(inspection.spans):
        given: Any = inspection.call(index).inputs
        answer = stage(given["VIDEO"], given.get("AUDIO"), given["OPTIONS"])
        joiner.add(inspection.read(index, answer["MEASURES"]), own)
    return joiner.result()


def test_the_answer_fits_the_contract_and_describes_the_face(stage: LipwarpCheck) -> None:
    answer = stage(clip(), speech())
    assert set(answer) == {tensor.name for tensor in LIPWARP_CHECK.outputs}
    assert fits(np.array([answer["MEASURES"]], np.object_), LIPWARP_CHECK.outputs[0], LIPWARP_CHECK)
    measures = Measures.model_validate_json(answer["MEASURES"])
    (run,) = measures.runs
    assert (measures.frames, measures.cuts, run.first, len(run.boxes)) == (30, [], 0, 30)
    x0, y0, x1, y1 = run.boxes[0]
    assert 0 < x0 < 96 < x1 < 192
    assert 0 < y0 < 96 < y1 < 192
    assert len(measures.asked) == 30
    assert 0.02 < float(np.std(np.array(measures.asked)[:, 0])) < 1
    assert all(0.2 < value < 2 for value in run.sharpness if value is not None)


def test_a_talking_person_agrees_with_the_own_sound_and_not_with_another(
    stage: LipwarpCheck, shared_data: Callable[[str], Path]
) -> None:
    path = shared_data(TALKING)
    (true,) = checked(stage, path).faces
    assert (true.finding, true.offset_ms) == ("in_sync", 0)
    assert true.agreement == pytest.approx(0.87, abs=0.05)
    (wrong,) = checked(stage, path, SPEECH.read_bytes()).faces
    assert wrong.finding == "disagree"
    assert wrong.agreement is not None
    assert wrong.agreement < 0.35


def test_sound_that_is_moved_moves_the_offset(
    stage: LipwarpCheck, shared_data: Callable[[str], Path]
) -> None:
    """The sound comes 200 ms late, so the lips are 200 ms early."""
    path = shared_data(TALKING)
    moved = np.concatenate([np.zeros(3200, np.float32), audio.load(path)])
    (face,) = checked(stage, path, audio.wav(moved)).faces
    assert face.finding == "early"
    assert face.offset_ms == -200


def test_a_part_is_measured_as_in_the_whole(stage: LipwarpCheck, shared_data: Callable[[str], Path]) -> None:
    path = shared_data(TALKING)
    whole = Measures.model_validate_json(stage(path.read_bytes(), path.read_bytes())["MEASURES"])
    inspection = Inspection(path)
    inspection.spans = [Span(0, 24), Span(24, 51)]
    given: Any = inspection.call(1).inputs
    part = inspection.read(1, stage(given["VIDEO"], given["AUDIO"], given["OPTIONS"])["MEASURES"])
    assert (part.first, part.frames) == (16, 59)
    asked = np.array(part.asked), np.array(whole.asked)[part.asked_first :]
    np.testing.assert_allclose(asked[0], asked[1], atol=0.01)
    lips = np.array(part.runs[0].lips), np.array(whole.runs[0].lips)[16:]
    assert float(np.abs(lips[0] - lips[1]).max()) < 0.03


def test_a_video_without_a_face_or_without_sound_is_measured_too(stage: LipwarpCheck) -> None:
    silent = Measures.model_validate_json(stage(clip())["MEASURES"])
    assert (silent.asked, silent.silent, len(silent.runs)) == ([], [], 1)
    part = Measures.model_validate_json(stage(clip(), None, b'{"first": 28}')["MEASURES"])
    assert (part.frames, len(part.runs[0].flicker)) == (2, 0)
    options = b'{"first": 10, "frames": 1000000}'  # no more than there are
    assert Measures.model_validate_json(stage(clip(), None, options)["MEASURES"]).frames == 20


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"first": 30}, OptionsError), ({"first": -1}, OptionsError), ({"frames": 0}, OptionsError),
        ({"face": "all"}, OptionsError), ({"first_sample": 7}, OptionsError), ({"peak": 1e9}, OptionsError),
        ({"first_sample": 2_000_000, "total_samples": 9_000_000}, InputError),  # a stretch of another time
        ({"total_samples": 9_000_000, "first": 25, "first_sample": 200}, InputError),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(
    options: dict[str, Any], error: type[InputError], stage: LipwarpCheck
) -> None:
    with pytest.raises(error):
        stage(clip(), speech(), json.dumps(options).encode())


def test_files_that_are_none_are_refused(stage: LipwarpCheck) -> None:
    with pytest.raises(VideoError):
        stage(b"no video", speech())
    with pytest.raises(AudioError):
        stage(clip(), b"no sound")
    with pytest.raises(InputError):
        stage(b"", None)


def test_more_frames_or_pixels_than_a_request_may_have_are_refused(
    stage: LipwarpCheck, exported: Path
) -> None:
    info = probe.probe(clip())
    told = json.loads(CheckOptions(source=info).model_dump_json())["source"]
    claimed = {**told, "frames": MAX_CHECKED_FRAMES + 1}
    with pytest.raises(LimitError, match=f"at most {MAX_CHECKED_FRAMES}"):
        stage(clip(), None, json.dumps({"source": claimed}).encode())
    small = LipwarpCheck(OnnxLeaves(exported), Limits(pixels=10_000))
    with pytest.raises(LimitError, match="192x192"):
        small(clip())
