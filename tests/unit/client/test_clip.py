"""A clip and its segments, as the server would read them."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from lipserve import audio, segments
from lipserve.errors import OptionsError, VideoError
from lipserve.media import decode
from lipserve.options import Options, parse
from lipserve.tiers import WAV2LIP
from lipserve_client._clip import Clip
from tests.support.segments import shorten

WALL_CLOCK = 1_700_000_000  # seconds


def film(kind: str, tick: Fraction, start: Fraction = Fraction(0), late: int = 0) -> bytes:
    """Return 75 frames, 25 a second from `start` on; the last one lasts `late` ticks longer."""
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(
            "mpeg4", rate=25, width=64, height=48, bit_rate=8_000_000, options={"qmin": "1", "qmax": "1"}
        )
        stream.codec_context.gop_size = 12
        stream.time_base = tick
        packets = []
        for number in range(75):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 3 * number, np.uint8), "rgb24")
            frame.pts = number
            packets += stream.encode(frame)
        for number, packet in enumerate([*packets, *stream.encode(None)]):
            packet.time_base = tick
            packet.pts = packet.dts = round((start + Fraction(number, 25)) / tick)
            packet.duration = round(Fraction(1, 25) / tick) + (late if number == 74 else 0)
            container.mux(packet)
    return file.getvalue()


def clip_of(video: bytes, monkeypatch: pytest.MonkeyPatch) -> Clip:
    shorten(monkeypatch, WAV2LIP, seconds=1.0)
    clip = Clip(video, audio.wav(np.zeros(3 * 16_000, np.float32)), Options(), "wav2lip")
    assert len(clip.spans) > 2
    assert not clip.whole
    return clip


def brightness(video: bytes, clip: Clip, span: segments.Span) -> list[int]:
    return [int(picture.y.mean()) for picture in decode.read(video, clip.info, span.first, span.count)]


@pytest.mark.parametrize(
    ("kind", "tick"),
    [("matroska", Fraction(1, 1000)), ("nut", Fraction(1, 90_000)), ("nut", Fraction(1, 10**9))],
)
def test_a_wall_clock_is_carried_to_every_segment(
    kind: str, tick: Fraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = film(kind, tick, WALL_CLOCK + Fraction(40, 1000))
    clip = clip_of(video, monkeypatch)
    assert clip.info.start == WALL_CLOCK + Fraction(40, 1000)
    for index, span in enumerate(clip.spans):
        call = clip.request(index)
        options = parse(Options, bytes(call.inputs["OPTIONS"]))
        assert options.segment is not None
        assert options.segment.source == clip.info
        shown = brightness(bytes(call.inputs["VIDEO"]), clip, span)
        assert shown == brightness(video, clip, span)
        assert len(set(shown)) == span.count


def test_a_clock_that_no_segment_can_carry_is_refused() -> None:
    video = film("nut", Fraction(1, 90_000), Fraction(4_000_000_000))
    with pytest.raises(VideoError, match="begin at 4e"):
        Clip(video, audio.wav(np.zeros(1600, np.float32)), Options(), "wav2lip")


def test_the_odd_mean_rate_of_a_file_whose_last_frame_lasts_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clip_of(film("mp4", Fraction(1, 16_000_000), late=1), monkeypatch)
    assert clip.info.fps == Fraction(75 * 16_000_000, 48_000_001)
    for index in range(len(clip.spans)):
        options = parse(Options, bytes(clip.request(index).inputs["OPTIONS"]))
        assert options.segment is not None
        assert options.segment.source.fps == clip.info.fps


def test_the_chosen_track_is_what_segments_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment's speech has one track, so that its request names none."""
    speech = io.BytesIO()
    with av.open(speech, "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for level, stream in enumerate(streams):
            samples = np.full((1, 3 * 16_000), level * 8192, np.int16)
            block = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            block.sample_rate, block.time_base, block.pts = 16_000, Fraction(1, 16_000), 0
            container.mux([*stream.encode(block), *stream.encode(None)])
    video = film("matroska", Fraction(1, 1000))
    whole = Clip(video, speech.getvalue(), Options(audio_track=1), "wav2lip")
    assert whole.whole
    assert parse(Options, bytes(whole.request(0).inputs["OPTIONS"])).audio_track == 1
    shorten(monkeypatch, WAV2LIP, seconds=1.0)
    for track in (0, 1):
        cut = Clip(video, speech.getvalue(), Options(audio_track=track), "wav2lip")
        assert not cut.whole
        call = cut.request(1)
        assert "audio_track" not in parse(Options, bytes(call.inputs["OPTIONS"])).model_fields_set
        assert audio.load(bytes(call.inputs["AUDIO"])).mean() == pytest.approx(track / 4, abs=1e-3)
    with pytest.raises(OptionsError, match="2 sound tracks"):
        Clip(video, speech.getvalue(), Options(audio_track=2), "wav2lip")


def test_a_speech_that_is_cut_short_is_told_to_every_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, WAV2LIP, seconds=1.0)
    speech = audio.wav(np.zeros(4 * 16_000, np.float32))
    clip = Clip(film("matroska", Fraction(1, 1000)), speech[: len(speech) * 3 // 4], Options(), "wav2lip")
    assert len(clip.spans) > 2
    for index in range(len(clip.spans)):
        segment = parse(Options, bytes(clip.request(index).inputs["OPTIONS"])).segment
        assert segment is not None
        (warning,) = segment.source.warnings
        assert "speech is cut short" in warning


def test_the_matte_goes_with_the_video_to_every_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, WAV2LIP, seconds=1.0)
    video, speech = film("matroska", Fraction(1, 1000)), audio.wav(np.zeros(3 * 16_000, np.float32))
    clip = Clip(video, speech, Options(matte="#102030"), "wav2lip")
    asked = parse(Options, bytes(clip.request(1).inputs["OPTIONS"]))
    assert asked.segment is not None
    assert (asked.matte, asked.segment.source.matte) == ("#102030", "#102030")
