"""The forms of cues: LipServe's own, NVIDIA's speaker data, sync.so's segments."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lipserve.cues import Cue, read
from lipserve.errors import CueError

FPS = Fraction(25)

SPEAKER_DATA: dict[str, Any] = {
    "frames": [
        *[{"speakers": [{"bbox": [100, 50, 40, 60], "speaker_id": 1, "is_speaking": True}]}] * 50,
        *[{"speakers": [{"bbox": [104, 50, 40, 60], "speaker_id": 1, "is_speaking": False}]}] * 25,
        {"bypass": True, "speakers": [{"bbox": [0, 0, 9, 9], "speaker_id": 2, "is_speaking": True}]},
        *[
            {
                "speakers": [
                    {"bbox": [400, 50, 40, 60], "speaker_id": 2, "is_speaking": True},
                    {"bbox": [108, 50, 40, 60], "face_tracker_id": 1, "is_speaking": True},
                ]
            }
        ]
        * 24,
    ]
}

SEGMENTS: dict[str, Any] = {
    "model": "lipsync-2",
    "input": [
        {"type": "video", "url": "panel.mp4"},
        {"type": "audio", "url": "anna.wav", "refId": "anna"},
        {"type": "audio", "url": "ben.wav", "refId": "ben"},
    ],
    "segments": [
        {"startTime": 0, "endTime": 4, "audioInput": {"refId": "anna"}},
        {
            "startTime": 5,
            "endTime": 9,
            "audioInput": {"refId": "ben", "startTime": 1.5, "endTime": 4.5},
            "optionsOverride": {"active_speaker_detection": {"frame_number": 125, "coordinates": [640, 220]}},
        },
    ],
}


def test_a_list_of_cues_is_read_as_it_is() -> None:
    sheet = read([Cue(start=1, end=2, speech="a.wav"), {"start": 3, "face": "10,20", "offset": 0.5}], FPS)
    assert [(cue.start, cue.end, cue.face) for cue in sheet.cues] == [(1, 2, "largest"), (3, None, "10,20")]
    assert [cue.begin for cue in sheet.cues] == [1, 2.5]


def test_the_speech_of_the_call_is_heard_in_its_own_place() -> None:
    assert Cue(start=4, end=5).begin == 0
    assert Cue(start=4, end=5, speech="a.wav").begin == 4
    assert Cue(start=4, end=5, speech="a.wav", offset=6).begin == -2


def test_paths_in_a_file_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "cues.json").write_text(
        json.dumps({"cues": [{"end": 2, "speech": "a.wav"}], "bypass": [{"start": 1, "end": 1.5}, [3, 4]]})
    )
    sheet = read(tmp_path / "cues.json", FPS)
    assert sheet.cues[0].speech == str(tmp_path / "a.wav")
    assert [(stretch.start, stretch.end) for stretch in sheet.bypass] == [(1, 1.5), (3, 4)]


def test_speaker_data_become_a_cue_for_each_stretch_of_speaking() -> None:
    sheet = read(SPEAKER_DATA, FPS)
    assert [(cue.start, cue.end, cue.face) for cue in sheet.cues] == [
        (0, 2, "120.0,80.0"),
        (3.04, 4, "128.0,80.0"),
        (3.04, 4, "420.0,80.0"),
    ]
    assert {cue.speech for cue in sheet.cues} == {None}


def test_segments_of_sync_so_become_cues(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(SEGMENTS))
    first, second = read(tmp_path / "job.json", FPS).cues
    assert (first.start, first.end, first.speech, first.face) == (0, 4, str(tmp_path / "anna.wav"), "largest")
    assert (second.start, second.end, second.face, second.offset) == (5, 8, "640.0,220.0", 1.5)


def test_speaker_data_that_end_before_the_video_are_told() -> None:
    assert read(SPEAKER_DATA, FPS, 100).warnings == ()
    assert read(SPEAKER_DATA, FPS, 104).warnings == ()  # less than 0.2 s
    assert read(SPEAKER_DATA, FPS, 250).warnings == (
        "0:04 to 0:10: nobody is driven, because the speaker data has 100 frames and the video 250.",
    )


def segment(**changes: Any) -> dict[str, Any]:
    """Return a request with one segment, from 2 s to 4 s, with other fields than usual."""
    fields = {"startTime": 2, "endTime": 4, "audioInput": {"refId": "x"}}
    own = {key: changes.pop(key) for key in ("optionsOverride",) if key in changes}
    return {"input": [{"refId": "x", "url": "x.wav"}], "segments": [fields | own], **changes}


@pytest.mark.parametrize(
    ("given", "face", "left_out"),
    [
        (segment(options={"sync_mode": "silence", "occlusion_detection_enabled": True}), "largest", None),
        (segment(options={"active_speaker_detection": {"auto_detect": True}}), "speaking", None),
        (
            segment(options={"active_speaker_detection": {"frame_number": 50, "coordinates": [6, 7]}}),
            "6.0,7.0",
            None,
        ),
        (
            segment(options={"active_speaker_detection": {"frame_number": 90, "coordinates": [6, 7]}}),
            "6.0,7.0",
            "frame_number of segment 1 (the face is looked for where it starts)",
        ),
        (
            segment(
                options={"active_speaker_detection": {"auto_detect": True}},
                optionsOverride={"active_speaker_detection": {"bounding_boxes": [None, [10, 20, 30, 60]]}},
            ),
            "20.0,40.0",
            None,
        ),
        (
            segment(
                model="lipsync-2",
                webhookUrl="https://example.org",
                options={"temperature": 0.7, "output_resolution": [1280, 720]},
                optionsOverride={"temperature": 0.2},
            ),
            "largest",
            "model, webhookUrl, options.temperature, options.output_resolution, optionsOverride.temperature",
        ),
        (
            segment(options={"occlusion_detection_enabled": False}),
            "largest",
            "options.occlusion_detection_enabled",
        ),
    ],
)
def test_options_of_sync_so_are_followed_or_told(
    given: dict[str, Any], face: str, left_out: str | None
) -> None:
    sheet = read(given, FPS)
    assert [cue.face for cue in sheet.cues] == [face]
    assert sheet.warnings == ((f"Not followed of sync.so's request: {left_out}.",) if left_out else ())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (segment(options={"sync_mode": "bounce"}), "sync_mode=bounce cannot be followed"),
        (segment(options={"active_speaker_detection": {"bounding_boxes_url": "https://x"}}), "not fetched"),
        (segment(options={"active_speaker_detection": {"coordinates": ["left", 3]}}), "cannot be read"),
        (segment(options={"active_speaker_detection": [1, 2]}), "is not an object"),
        (segment(options=["sync_mode"]), "options is not an object"),
        (segment(optionsOverride="cut_off"), "optionsOverride is not an object"),
    ],
)
def test_options_of_sync_so_that_must_not_be_missed_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CueError, match=message):
        read(given, FPS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"words": []}, "none of the known forms"),
        ({"cues": "all"}, "not a list"),
        ({"cues": [{"start": -1}]}, "start"),
        ({"cues": [{"strat": 1}]}, "strat"),
        ({"frames": [3]}, "Frame 0"),
        ({"frames": [{"speakers": [{"bbox": [1, 2, 3]}]}]}, "speaker of frame 0"),
        ({"segments": [{"startTime": 1}]}, "lacks"),
        ({"segments": [{"startTime": 0, "endTime": 1, "audioInput": {"refId": "x"}}]}, "has the refId 'x'"),
        (
            {
                "input": [{"refId": "x", "url": "https://example.org/x.wav"}],
                "segments": [{"startTime": 0, "endTime": 1, "audioInput": {"refId": "x"}}],
            },
            "not a file",
        ),
        (
            {
                "input": [{"refId": "x", "url": "x.wav"}],
                "segments": [
                    {
                        "startTime": 0,
                        "endTime": 1,
                        "audioInput": {"refId": "x"},
                        "optionsOverride": {"sync_mode": "loop"},
                    }
                ],
            },
            "sync_mode",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CueError, match=message):
        read(given, FPS)


@pytest.mark.parametrize("text", ["{", "3", "[" * 100_000])
def test_a_file_that_is_no_json_object_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "cues.json").write_text(text)
    with pytest.raises(CueError, match=r"cues\.json"):
        read(tmp_path / "cues.json", FPS)
    with pytest.raises(CueError, match="cannot be opened"):
        read(tmp_path / "absent.json", FPS)
