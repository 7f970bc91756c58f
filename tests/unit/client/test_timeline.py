"""Results of many pieces, made with a server that changes no lips: what is sent, copied, heard and told."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipserve import Client, Cue, audio
from lipserve.errors import CueError, NoFaceError, OptionsError
from lipserve.media import decode, probe
from lipserve.options import Options, parse
from lipserve.report import Report
from lipserve_client import MockTransport
from lipserve_client._transports.base import Answer, Call
from lipserve_client._transports.mock import untouched
from tests.support.segments import shorten

RATE = 16_000


def tone(seconds: float, hertz: float = 300) -> bytes:
    return audio.wav(np.float32(0.1 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)))


@pytest.fixture(scope="module")
def video() -> bytes:
    """Return 8 s of moving pictures, 25 a second, a key frame every second, under a tone of 1000 Hz."""
    file = io.BytesIO()
    settings = {"g": "25", "crf": "20", "preset": "veryfast", "x264-params": "open-gop=0:scenecut=0"}
    with av.open(file, "w", format="mp4") as container, av.open(io.BytesIO(tone(8, 1000))) as sound:
        stream = container.add_stream("libx264", rate=25, width=96, height=64, options=settings)
        track = container.add_stream("aac", rate=RATE, layout="mono")
        for number in range(200):
            pixels = np.full((64, 96, 3), 60, np.uint8)
            pixels[8:40, number % 70 : number % 70 + 20] = 200 - number // 2
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
        for frame in sound.decode(audio=0):
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return file.getvalue()


def seen(call: Call) -> Answer:
    """Return the answer of a server that has seen one face in every frame, and changed nothing."""
    answer = untouched(call)
    report = Report.model_validate_json(bytes(answer["REPORT"]))  # type: ignore[arg-type]
    told = report.model_copy(update={"faces": 1, "faceless_frames": 0})
    return {**answer, "REPORT": told.model_dump_json().encode()}


def dub(video: bytes, speech: bytes | None = None, **options: Any) -> tuple[bytes, Report, list[Call]]:
    mock = MockTransport(seen)
    with Client(transport=mock, provenance=False) as client:
        result = client.dub(video, speech, tier="wav2lip", preset="ultrafast", **options)
    return result.content, result.report, mock.calls


def told(call: Call) -> Options:
    return parse(Options, bytes(call.inputs["OPTIONS"]))


def same(video: bytes, result: bytes) -> list[bool]:
    """Return for each frame of the result whether it is the video's, sample by sample."""
    theirs, ours = decode.read(video, probe.probe(video)), decode.read(result, probe.probe(result))
    return [
        bool(np.array_equal(a.y, b.y) and np.array_equal(a.u, b.u)) for a, b in zip(theirs, ours, strict=True)
    ]


def level(result: bytes, start: float, end: float, hertz: float) -> float:
    part = audio.load(result, RATE)[round(start * RATE) : round(end * RATE)]
    return float(2 * abs(np.mean(part * np.exp(-2j * np.pi * hertz * np.arange(len(part)) / RATE))))


def test_outside_of_cues_the_video_is_copied_bit_for_bit(video: bytes) -> None:
    cues = [Cue(start=2, end=3.2, speech=tone(1)), Cue(start=5, end=6, face="30,30", speech=tone(1, 700))]
    result, report, calls = dub(video, cues=cues)
    assert sorted((told(call).segment.first_frame, told(call).segment.frames) for call in calls) == [  # type: ignore[union-attr]
        (50, 30),
        (125, 25),
    ]
    assert {told(call).face for call in calls} == {"largest", "30,30"}
    assert (report.frames, report.untouched_frames, report.copied_frames) == (200, 145, 125)
    equal = same(video, result)
    assert all(equal[:50] + equal[100:125] + equal[150:])
    assert not any(equal[80:100])  # up to the next key frame it is encoded
    assert level(result, 2.1, 2.9, 300) == pytest.approx(0.1, rel=0.1)
    assert level(result, 5.1, 5.9, 700) == pytest.approx(0.1, rel=0.1)
    assert level(result, 3.3, 4.9, 1000) == pytest.approx(0.1, rel=0.1)
    assert level(result, 2.1, 2.9, 1000) < 0.002


def test_the_speech_of_a_cue_lies_in_its_place_for_the_server(video: bytes) -> None:
    ramp = np.linspace(0, 0.5, 3 * RATE, dtype=np.float32)
    _, _, calls = dub(video, cues=[Cue(start=4, end=5, speech=audio.wav(ramp), offset=1.0)])
    segment = told(calls[0]).segment
    assert segment is not None
    heard = audio.load(bytes(calls[0].inputs["AUDIO"]))
    place = 4 * RATE - segment.first_sample
    assert heard[place] == pytest.approx(ramp[RATE], abs=1e-6)
    assert (segment.fade_in, segment.fade_out, segment.total_frames) == (True, True, 200)


def test_two_who_speak_at_a_time_are_asked_for_apart_and_lossless(video: bytes) -> None:
    cues = [
        Cue(start=1, end=3, face="20,20", speech=tone(2)),
        Cue(start=2, end=4, face="70,20", speech=tone(2, 700)),
    ]
    result, report, calls = dub(video, cues=cues)
    asked = {(told(c).face, told(c).segment.first_frame): told(c).crf for c in calls}  # type: ignore[union-attr]
    assert asked == {("20,20", 25): 18, ("20,20", 50): 0, ("70,20", 50): 0, ("70,20", 75): 18}
    assert report.frames == len(same(video, result)) == 200
    assert level(result, 2.1, 2.9, 300) == pytest.approx(level(result, 2.1, 2.9, 700), rel=0.1)


def test_a_bypass_is_no_part_of_what_is_sent(video: bytes) -> None:
    result, report, calls = dub(video, tone(8), bypass=[{"start": 3, "end": 5}])
    assert sorted(told(call).segment.first_frame for call in calls) == [0, 125]  # type: ignore[union-attr]
    assert (report.frames, report.untouched_frames, report.copied_frames) == (200, 50, 50)
    assert all(same(video, result)[75:125])
    assert level(result, 3.1, 4.9, 300) == pytest.approx(0.1, rel=0.1)


def test_keep_ends_with_the_video_which_is_as_it_was_after_the_speech(video: bytes) -> None:
    result, report, calls = dub(video, tone(3), on_length_mismatch="keep")
    assert [told(call).segment.frames for call in calls] == [75]  # type: ignore[union-attr]
    assert (report.frames, report.untouched_frames, report.copied_frames) == (200, 125, 125)
    assert all(same(video, result)[75:])
    assert level(result, 0.1, 2.9, 300) == pytest.approx(0.1, rel=0.1)
    assert level(result, 3.1, 7.9, 1000) == pytest.approx(0.1, rel=0.1)


def test_silence_lets_the_video_play_on_driven(video: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, __import__("lipserve.tiers", fromlist=["WAV2LIP"]).WAV2LIP, seconds=4.0)
    result, report, calls = dub(video, tone(3), on_length_mismatch="silence")
    assert (report.frames, report.untouched_frames) == (200, 0)
    first, last = sorted(calls, key=lambda call: told(call).segment.first_frame)  # type: ignore[union-attr]
    assert audio.load(bytes(first.inputs["AUDIO"])).any()
    assert not audio.load(bytes(last.inputs["AUDIO"])).any()
    assert probe.probe(result).frames == 200


def test_a_background_and_a_loudness_change_the_sound_alone(video: bytes) -> None:
    result, report, _ = dub(video, tone(8), background="video", background_lufs=-35.0, loudness=-20.0)
    assert (report.frames, report.untouched_frames) == (200, 0)
    assert level(result, 1, 7, 300) > 4 * level(result, 1, 7, 1000) > 0.002


def test_a_picture_with_cues_lasts_to_the_end_of_the_last() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as container:
        stream = container.add_stream("mjpeg", rate=25, width=96, height=64, pix_fmt="yuvj420p")
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    result, report, _ = dub(file.getvalue(), cues=[Cue(start=1, end=2, speech=tone(1))])
    assert (report.frames, report.untouched_frames, report.copied_frames) == (50, 25, 0)
    assert probe.probe(result).frames == 50
    with pytest.raises(CueError, match="has no end"):
        dub(file.getvalue(), cues=[Cue(start=1, speech=tone(1))])


def test_progress_counts_every_frame_once(video: bytes) -> None:
    steps: list[tuple[int, int]] = []
    with Client(transport=MockTransport(seen), provenance=False) as client:
        client.dub(
            video,
            cues=[Cue(start=2, end=3.2, speech=tone(1))],
            tier="wav2lip",
            on_progress=lambda *step: steps.append(step),
        )
    assert steps[0] == (0, 200)
    assert steps[-1] == (200, 200)
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"cues": [Cue(end=1)]}, CueError, "Cue 1 has no speech"),
        ({"cues": [Cue(start=9, speech=b"x")]}, CueError, "Cue 1 ends at 8 s"),
        ({"cues": [], "face": "all"}, OptionsError, "face cannot be used together with cues"),
        ({"cues": [], "source": b"x"}, OptionsError, "SOURCE cannot be used together with cues"),
        ({}, OptionsError, "There is no speech"),
        ({"cues": [], "background_lufs": -20.0}, OptionsError, "needs a background"),
        ({"cues": [], "loudness": 3.0}, OptionsError, "loudness=3 is not a loudness"),
        ({"cues": "absent.json"}, CueError, "cannot be opened"),
    ],
    ids=str,
)
def test_what_contradicts_is_told_before_anything_is_sent(
    video: bytes, wanted: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dub(video, **wanted)


def test_a_cue_whose_face_is_never_seen_is_named(video: bytes) -> None:
    cues = [Cue(end=1, speech=tone(1)), Cue(start=2, end=3, face="5,5", speech=tone(1))]

    def blind(call: Call) -> Answer:
        return untouched(call) if told(call).face == "5,5" else seen(call)

    with (
        Client(transport=MockTransport(blind), provenance=False) as client,
        pytest.raises(NoFaceError, match="of cue 2"),
    ):
        client.dub(video, cues=cues, tier="wav2lip")


def test_a_result_may_not_overwrite_the_speech_of_a_cue(video: bytes, tmp_path: Path) -> None:
    speech = tmp_path / "speech.mp4"
    speech.write_bytes(video)
    with pytest.raises(Exception, match=r"speech\.mp4"):
        dub(video, cues=[Cue(end=1, speech=str(speech))], output=speech)
    assert speech.read_bytes() == video


@pytest.mark.parametrize("cues", [[], {"cues": []}, {"frames": [{"bypass": True}] * 200}])
def test_a_call_without_cues_copies_the_video_and_says_so(video: bytes, cues: Any) -> None:
    result, report, calls = dub(video, cues=cues)
    assert not calls
    assert (report.copied_frames, all(same(video, result))) == (200, True)
    assert report.warnings == ["Nobody is driven, because there are no cues: the video is as it was."]


def test_what_is_not_followed_of_another_form_is_told(video: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(tone(1))
    request = {
        "model": "lipsync-2",
        "input": [{"refId": "a", "url": str(tmp_path / "a.wav")}],
        "segments": [{"startTime": 1, "endTime": 2, "audioInput": {"refId": "a"}}],
        "options": {"sync_mode": "cut_off"},
    }
    _, report, calls = dub(video, cues=request)
    assert len(calls) == 1
    assert report.warnings[-1] == "Not followed of sync.so's request: model."
