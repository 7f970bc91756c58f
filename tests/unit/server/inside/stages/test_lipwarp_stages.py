"""The stages of the tier that moves mouths, one after another in this process, on the shipped networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from demo import portrait
from lipserve import audio
from lipserve.align import RIGID_POINTS
from lipserve.contracts.lipwarp import LIPWARP_GENERATE, LIPWARP_POSTPROCESS, LIPWARP_PREPROCESS
from lipserve.errors import InputError, NoFaceError, OptionsError, SourceError
from lipserve.files.picture import Colour, Picture
from lipserve.lipwarp.compose import Motion, move
from lipserve.lipwarp.source import from_bytes
from lipserve.media import decode, probe
from lipserve.report import Report
from lipserve.tracking import Tracker, blocks
from lipserve_client._samples import SPEECH
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.tensors import fits
from tests.support.lipwarp_stages import Rows, Stages
from tests.unit.lipwarp.films import film, two_people

SECONDS = 1.2
_INNER = (13, 14)  # the middles of the inner lips
_EYES = [RIGID_POINTS[0], RIGID_POINTS[3]]


@pytest.fixture(scope="module")
def stages(exported: Path) -> Stages:
    return Stages(exported)


@cache
def clip() -> bytes:
    return portrait.clip(SECONDS, (192, 192))


@cache
def speech(seconds: float = SECONDS) -> bytes:
    return audio.wav(audio.load(SPEECH.read_bytes())[: round(16_000 * seconds)])


@pytest.fixture(scope="module")
def made(stages: Stages) -> tuple[Rows, Rows, dict[str, bytes]]:
    """The portrait speaks."""
    return stages(clip(), speech())


def openings(video: bytes | str, leaves: OnnxLeaves) -> NDArray[np.float64]:
    """Return how far apart the inner lips are in each frame, in eye distances."""
    info = probe.probe(video)
    tracker, done = Tracker(leaves, info.fps, info.pixel_aspect, "largest", None), 0
    for block in blocks(decode.read(video, info, 0, info.frames, threads=1), 0):
        tracker.add(block, done)
        done += len(block)
    meshes = np.array(tracker.tracks[0].landmarks)
    gap = meshes[:, _INNER[1]] - meshes[:, _INNER[0]]
    eyes = meshes[:, _EYES[1]] - meshes[:, _EYES[0]]
    return np.asarray(np.linalg.norm(gap, axis=-1) / np.linalg.norm(eyes, axis=-1))


def differing(first: bytes, second: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much luma differs in each frame [F]: in the lower half, and in the upper quarter."""
    pictures = [[p.y.astype(float) for p in decode.read(v, probe.probe(v))] for v in (first, second)]
    gap = np.abs(np.stack(pictures[0]) - np.stack(pictures[1]))
    height = gap.shape[1]
    return gap[:, height // 2 :].mean((1, 2)), gap[:, : height // 4].mean((1, 2))


def test_every_stage_gives_what_its_contract_says(made: tuple[Rows, Rows, dict[str, bytes]]) -> None:
    for model, values in zip((LIPWARP_PREPROCESS, LIPWARP_GENERATE, LIPWARP_POSTPROCESS), made, strict=True):
        for tensor in model.outputs:
            value = values[tensor.name]
            array = np.array([value], np.object_) if isinstance(value, bytes) else value
            assert fits(array, tensor, model), tensor.name


def test_a_clip_comes_back_with_a_mouth_that_moves(made: tuple[Rows, Rows, dict[str, bytes]]) -> None:
    rows, motion, result = made
    report = Report.model_validate_json(result["REPORT"])
    assert (report.tier, report.frames, report.faces, report.faceless_frames) == ("lipwarp", 30, 1, 0)
    assert (report.covered_frames, report.warnings) == (0, [])
    assert probe.probe(result["RESULT"]).frames == len(rows["FRAMES"]) == 30
    mouth, rest = differing(result["RESULT"], clip())
    assert mouth.max() > 0.5
    assert rest.mean() < 1.5  # of two encoders
    np.testing.assert_allclose(motion["SHARES"].sum(1), 1, atol=1e-5)
    assert np.abs(motion["FLOW"].astype(float)).max() > 1


def test_a_source_of_before_makes_the_same_clip(
    stages: Stages, made: tuple[Rows, Rows, dict[str, bytes]]
) -> None:
    rows, motion, _ = stages(clip(), speech(), made[0]["PREPARED"])
    assert rows["PREPARED"] == made[0]["PREPARED"]
    for name in ("FACES", "POINTS", "TRANSFORMS", "WEIGHTS"):
        np.testing.assert_allclose(rows[name], made[0][name], atol=1e-3, err_msg=name)
    np.testing.assert_allclose(motion["FLOW"].astype(float), made[1]["FLOW"].astype(float), atol=0.1)
    prepared = stages.prepare([clip()], b"{}")["SOURCE"]
    assert from_bytes(prepared).people[0].reach == from_bytes(rows["PREPARED"]).people[0].reach


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_silence_and_noise_close_a_mouth_that_smiles(stages: Stages, noise: float) -> None:
    samples = np.random.default_rng(0).normal(0, 1, round(16_000 * SECONDS)).astype(np.float32) * np.float32(
        noise
    )
    _, _, result = stages(clip(), audio.wav(samples))
    before, after = (openings(video, stages.leaves) for video in (clip(), result["RESULT"]))
    assert before.mean() > 0.08, "she shows her teeth"
    assert after.mean() < 0.8 * before.mean()


@pytest.mark.slow
def test_a_speaker_opens_with_the_speech_and_more_where_it_is_asked_for(
    shared_data: Callable[[str], Path], stages: Stages
) -> None:
    """GRID's s22, of whom no network has seen anything: with the own speech, and strongly."""
    video = shared_data("video/LipNet__lbbc2a.mpg").read_bytes()
    true = openings(video, stages.leaves)
    results = [stages(video, video, strength=strength)[2]["RESULT"] for strength in (0.6, 1.0, 1.4)]
    told = [openings(result, stages.leaves) for result in results]
    assert np.corrcoef(told[1], true[: len(told[1])])[0, 1] > 0.75
    spread = [float(np.ptp(np.quantile(values, [0.1, 0.9]))) for values in told]
    assert spread[0] < 0.85 * spread[1]
    assert spread[1] < 0.95 * spread[2]


def test_one_picture_speaks(stages: Stages) -> None:
    """A still repeats for as long as the speech lasts; its one mouth is all that is known."""
    still = film(portrait.frames(0.04, (192, 192)))
    rows, motion, result = stages(still, speech(0.6))
    assert (
        probe.probe(result["RESULT"]).frames
        == len(rows["FRAMES"])
        == round(0.6 * float(probe.probe(still).fps))
    )
    assert not motion["MEMORIES"].any()
    assert (rows["FACES"] == rows["FACES"][0]).all()
    assert (
        differing(result["RESULT"], stages(still, audio.wav(np.zeros(9600, np.float32)))[2]["RESULT"])[
            0
        ].max()
        > 0.3
    )


def test_all_faces_move_and_one_alone_does(stages: Stages) -> None:
    video = two_people(0.4)
    rows, _, result = stages(video, speech(0.4), face="all")
    assert sorted(np.unique(rows["TRACKS"])) == [0, 1]
    assert len(rows["FRAMES"]) == 20
    assert Report.model_validate_json(result["REPORT"]).faces == 2
    one, _, _ = stages(video, speech(0.4), face="380,110")
    assert len(one["FRAMES"]) == 10
    assert len(from_bytes(one["PREPARED"]).people) == 1


def test_a_video_without_a_face_is_refused_or_given_back(stages: Stages) -> None:
    grey = film([np.full((96, 96, 3), 128, np.uint8)] * 10)
    with pytest.raises(NoFaceError):
        stages(grey, speech(0.4))
    rows, motion, result = stages(grey, speech(0.4), on_no_face="passthrough")
    assert len(rows["FRAMES"]) == len(motion["FLOW"]) == 0
    assert from_bytes(rows["PREPARED"]).people == ()
    assert Report.model_validate_json(result["REPORT"]).faceless_frames == 10
    assert differing(result["RESULT"], grey)[0].max() < 1


@pytest.mark.slow
def test_a_hand_before_the_mouth_is_left_alone_and_counted(
    shared_data: Callable[[str], Path], stages: Stages
) -> None:
    video = shared_data("faults/hand.mp4").read_bytes()
    rows, _, result = stages(video, speech(2.0), on_length_mismatch="cut")
    report = Report.model_validate_json(result["REPORT"])
    assert (report.covered_frames, report.faceless_frames) == (25, 0)
    assert set(range(15, 40)).isdisjoint(rows["FRAMES"].tolist())
    assert rows["WEIGHTS"][rows["FRAMES"] == 14] == pytest.approx(0.25)
    mouth, _ = differing(result["RESULT"], video)
    assert mouth[15:40].max() < 0.7 * mouth[:14].max(), "what differs there is the encoders'"


# What strangers send.


@pytest.mark.parametrize("cut_at", [0, 3, 8, 12, 400, -1])
def test_a_damaged_source_is_refused(
    stages: Stages, made: tuple[Rows, Rows, dict[str, bytes]], cut_at: int
) -> None:
    damaged = made[0]["PREPARED"][:cut_at] or b"x"
    with pytest.raises(SourceError):
        stages.preprocess(clip(), speech(), b"{}", damaged)
    with pytest.raises(SourceError):
        stages.generate({**made[0], "PREPARED": damaged})
    with pytest.raises(SourceError):
        stages.postprocess(clip(), speech(), {**made[0], "PREPARED": damaged}, made[1])


def test_a_source_of_another_video_or_for_other_faces_is_refused(
    stages: Stages, made: tuple[Rows, Rows, dict[str, bytes]]
) -> None:
    prepared = from_bytes(made[0]["PREPARED"])
    for wrong, told in (
        (replace(prepared, width=640), "from a video of 640x192"),
        (replace(prepared, frames=31), "with 31 frames"),
        (replace(prepared, face="all"), "for face=all"),
        (replace(prepared, sha256="0" * 64), "from another video"),
    ):
        with pytest.raises(SourceError, match=told):
            stages.preprocess(clip(), speech(), b"{}", wrong.to_bytes())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"TRACKS": lambda rows: rows + 1}, "people that SOURCE does not have"),
        ({"TRACKS": lambda rows: rows - 1}, "people that SOURCE does not have"),
        ({"FRAMES": lambda rows: rows - 100}, "do not fit together"),
        ({"FRAMES": lambda rows: rows[:-1]}, "do not fit together"),
        ({"POINTS": lambda rows: rows[1:]}, "do not fit together"),
        ({"POINTS": lambda rows: rows * np.float32(np.nan)}, "no mouth can have"),
        ({"POINTS": lambda rows: rows + np.float32(3e38)}, "no mouth can have"),
        ({"SHAPES": lambda rows: rows - np.float32(np.inf)}, "no mouth can have"),
        ({"POSES": lambda rows: rows * np.float32(1e9)}, "no mouth can have"),
        ({"SPEECH": lambda rows: rows[:0]}, "AUDIO is empty"),
        ({"SPEECH": lambda rows: rows * np.float32(np.nan)}, "not finite"),
        (
            {"SPEECH": lambda rows: rows[:1600], "GENERATE_OPTIONS": lambda _: b'{"total_samples": 19200}'},
            "need others",
        ),
        ({"GENERATE_OPTIONS": lambda _: b'{"steps": 3}'}, "steps"),
        ({"GENERATE_OPTIONS": lambda _: b'{"strength": 9}'}, "strength"),
    ],
)
def test_rows_that_preprocess_never_gave_are_refused(
    stages: Stages, made: tuple[Rows, Rows, dict[str, bytes]], changes: dict[str, Any], told: str
) -> None:
    rows = made[0] | {name: change(made[0][name]) for name, change in changes.items()}
    with pytest.raises(InputError, match=told):
        stages.generate(rows)


def test_a_frame_of_long_ago_takes_no_memory(
    stages: Stages, made: tuple[Rows, Rows, dict[str, bytes]]
) -> None:
    """Two frames, two thousand million apart."""
    rows = {**made[0], "FRAMES": np.arange(30, dtype=np.int32) * 70_000_000}
    assert stages.generate(rows)["FLOW"].shape[0] == 30  # all but the first hear the end of the speech
    told = json.dumps({"total_samples": 2**40}).encode()
    with pytest.raises(InputError, match="need others"):
        stages.generate({**rows, "GENERATE_OPTIONS": told})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"MEMORIES": lambda rows: rows + 8}, "numbers that SOURCE does not have"),
        ({"MEMORIES": lambda rows: rows - 9}, "numbers that SOURCE does not have"),
        ({"TRACKS": lambda rows: rows + 1}, "numbers that SOURCE does not have"),
        ({"FLOW": lambda rows: rows[1:]}, "do not fit together"),
        ({"FLOW": lambda rows: rows * np.float16(np.nan)}, "no motion"),
        ({"FLOW": lambda rows: rows - np.float16(np.inf)}, "no motion"),
        ({"SHARES": lambda rows: rows + 1}, "no motion"),
        ({"SHARES": lambda rows: rows * np.float32(np.nan)}, "no motion"),
        ({"OFFSETS": lambda rows: rows + 256}, "no motion"),
        ({"ASKED": lambda rows: rows + np.nan}, "no motion"),
        ({"QUIET": lambda rows: rows + 2}, "no motion"),
        ({"TRANSFORMS": lambda rows: rows * 0}, "no face can be pasted"),
        ({"TRANSFORMS": lambda rows: rows[:-1]}, "no face can be pasted"),
        ({"WEIGHTS": lambda rows: rows + 1}, "no face can be pasted"),
        ({"FRAMES": lambda rows: rows[::-1]}, "not sorted"),
        ({"FRAMES": lambda rows: rows + 1}, "outside the request"),
        ({"CONTEXT": lambda _: b"{}"}, "tier"),
    ],
)
def test_a_motion_that_generate_never_gave_is_refused(
    stages: Stages, made: tuple[Rows, Rows, dict[str, bytes]], changes: dict[str, Any], told: str
) -> None:
    rows, motion, _ = made
    wrong = {**rows, **motion} | {name: change({**rows, **motion}[name]) for name, change in changes.items()}
    with pytest.raises(InputError, match=told):
        stages.postprocess(clip(), speech(), wrong, {name: wrong[name] for name in motion})


@given(st.data())
def test_any_motion_in_range_is_carried_out(
    stages: Stages, made: tuple[Rows, Rows, dict[str, bytes]], data: st.DataObject
) -> None:
    """However wild: a transform of any scale and place, flows to the end of half precision."""
    who = from_bytes(made[0]["PREPARED"]).people[0]
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    scale, flow = (10 ** data.draw(st.floats(-6, 6)) for _ in range(2))
    transform = (rng.normal(0, scale, (2, 3)) * [1, 1, 10 ** data.draw(st.floats(0, 6))]).astype(np.float32)
    if abs(np.linalg.det(transform[:, :2].astype(np.float64))) < 1e-9:
        return
    picture = Picture(*(np.full(shape, 90, np.uint8) for shape in ((61, 83), (31, 42), (31, 42))), Colour())
    wild = Motion(
        np.clip(rng.normal(0, flow, (3, 48, 48, 2)), -65_504, 65_504).astype(np.float32),
        rng.integers(0, 256, (96, 96, 2), np.uint8),
        rng.integers(0, 256, (48, 48, 3), np.uint8),
        (who.memories[0].patch, who.memories[-1].patch),
        np.float32([0.3, 0.7]),
        rng.uniform(-255, 255, 3).astype(np.float32),
    )
    move(picture, wild, transform, 0.7)


@pytest.mark.parametrize(
    ("videos", "options", "told"),
    [
        (2, {}, "VIDEO has 2 files for 0 stretches"),
        (3, {"stretches": [{"first": 0, "frames": 5}] * 2}, "3 files for 2 stretches"),
        (1, {"face": "nose"}, "not a valid choice of a face"),
        (1, {"face": "5000,10"}, "outside the picture"),
        (1, {"sha256": "0"}, "sha256"),
    ],
)
def test_a_video_that_cannot_be_prepared_is_refused(
    stages: Stages, videos: int, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(OptionsError, match=told):
        stages.prepare([clip()] * videos, json.dumps(options).encode())


def test_a_file_that_is_no_video_is_not_prepared(stages: Stages) -> None:
    for nothing in (b"", b"no video", clip()[:500]):
        with pytest.raises(InputError):
            stages.prepare([nothing], b"{}")
    assert from_bytes(stages.prepare([clip()], b'{"stretches": [{"first": 9000, "frames": 3}]}')["SOURCE"])
