"""The forms of speech through the real server: what is heard in the result, and by the mouth."""

from __future__ import annotations

import io
import wave
from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from demo import portrait
from lipserve import Client, DubResult, audio
from lipserve.audio.reader import open_audio
from lipserve.media import decode, probe
from lipserve_client._samples import SPEECH
from tests.unit.audio.loudness import lufs

pytestmark = pytest.mark.serve

RATE = 16_000
Samples = NDArray[np.int16]


@pytest.fixture(scope="module")
def video() -> bytes:
    return portrait.clip(seconds=1.0, size=(320, 320))


@pytest.fixture(scope="module")
def voice() -> Samples:
    """One second of real speech, 16 bit, mono."""
    return np.int16(audio.load(SPEECH)[RATE // 2 : RATE * 3 // 2] * 32767)


def stereo_wav(left: Samples, right: Samples) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((2, 2, RATE, len(left), "NONE", ""))
        writer.writeframes(np.stack([left, right], axis=1).tobytes())
    return file.getvalue()


def film(*tracks: Samples, layout: str = "mono", default: int = 0) -> bytes:
    """Return a Matroska file of sound tracks, samples [n] or [n, channels], of which one is the default."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout=layout) for _ in tracks]
        for number, stream in enumerate(streams):
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for stream, samples in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), "s16", layout)
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


def pictures(result: DubResult) -> NDArray[np.uint8]:
    return np.stack(
        [picture.y.copy() for picture in decode.read(result.content, probe.probe(result.content))]
    )


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return by how much two lossless films differ, levels: a batch that others share rounds otherwise."""
    return float(np.abs(one.astype(np.int16) - other).mean())


def heard(result: DubResult, channels: int) -> NDArray[np.float32]:
    with open_audio(result.content) as reader:
        return np.concatenate(list(reader.blocks(reader.rate, channels)), axis=1).T


def test_speech_in_the_centre_is_as_loud_as_it_was(client: Client, video: bytes, voice: Samples) -> None:
    surround = np.zeros((len(voice), 6), np.int16)
    surround[:, 2] = voice
    result = client.dub(video, film(surround, layout="5.1"))
    wanted = lufs(np.float32(surround / 32768), RATE, "5.1")
    assert abs(lufs(heard(result, 2), RATE, "stereo") - wanted) < 1


def test_anti_phase_stereo_moves_the_mouth_as_its_one_side_does(
    client: Client, video: bytes, voice: Samples
) -> None:
    against = client.dub(video, stereo_wav(voice, -voice), crf=0)
    alone = client.dub(video, audio.wav(np.float32(voice / 32768)), crf=0)
    still = client.dub(video, audio.wav(np.zeros(len(voice), np.float32)), crf=0)
    assert apart(pictures(against), pictures(alone)) < 0.2 * apart(pictures(still), pictures(alone))
    sides = heard(against, 2)  # kept as they are
    assert np.corrcoef(sides.T)[0, 1] < -0.95


def test_the_mouth_and_the_sound_follow_one_track(client: Client, video: bytes, voice: Samples) -> None:
    tone = np.int16(8000 * np.sin(2 * np.pi * 300 * np.arange(len(voice)) / RATE))
    both = film(tone, voice, default=1)
    alone = [pictures(client.dub(video, film(track), crf=0)) for track in (tone, voice)]
    for asked, number in (({}, 1), ({"audio_track": 0}, 0), ({"audio_track": 1}, 1)):
        result = client.dub(video, both, crf=0, **asked)
        assert apart(pictures(result), alone[number]) < 0.2 * apart(alone[0], alone[1])
        sound = heard(result, 1)[: len(voice), 0]
        assert np.corrcoef(sound, (tone, voice)[number][: len(sound)])[0, 1] > 0.95
