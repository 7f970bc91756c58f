"""People of a video against a real server: numbers, who speaks, and the face that a number names."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import AsyncClient, Client, NoFaceError, OptionsError, audio
from lipserve.files.picture import Colour
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.media.yuv import resized
from lipserve.quality.own_sound import early
from lipserve_client._samples import SPEECH
from lipserve_client._transports import Call, Expected
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

SIDE = 160
RATE = 16_000


@pytest.fixture(scope="module")
def panel() -> bytes:
    """Two seconds of two people side by side, whose mouths rest."""
    frames = portrait.frames(2.6, (SIDE, SIDE))
    file = io.BytesIO()
    with VideoWriter(file, 2 * SIDE, SIDE, Fraction(25), Colour(), crf=12) as writer:
        for left, right in zip(frames[:50], frames[12:62], strict=True):
            writer.write(portrait.picture(np.concatenate([left, right // 2], axis=1)))
    return file.getvalue()


@pytest.fixture(scope="module")
def said() -> bytes:
    return audio.wav(audio.load(SPEECH)[: 2 * RATE])


def luma(video: bytes) -> NDArray[np.int16]:
    return np.stack([picture.y.astype(np.int16) for picture in decode.read(video, probe.probe(video))])


def test_people_have_numbers_and_a_number_names_a_face(client: Client, panel: bytes, said: bytes) -> None:
    found = client.faces(panel)
    assert [person.number for person in found.people] == [1, 2]
    assert all(person.seen == 2.0 for person in found.people)
    assert found.turns == ()  # the video has no sound
    assert cv2.imdecode(np.frombuffer(found.sheet, np.uint8), cv2.IMREAD_COLOR) is not None
    right = next(person for person in found.people if person.box[0] > SIDE)
    result = client.dub(panel, said, face=str(right.number), crf=0, preset="ultrafast")
    apart = np.abs(luma(result.content) - luma(panel))
    assert not apart[:, :, :SIDE].any()
    assert apart[2:48, :, SIDE:].max((1, 2)).min() > 4


def test_whom_nobody_knows_is_told(client: Client, panel: bytes, said: bytes) -> None:
    with pytest.raises(OptionsError, match="face=7 is not in the video: 2 people are seen"):
        client.dub(panel, said, face="7")
    with pytest.raises(NoFaceError, match="the video has no speech"):
        client.dub(panel, said, face="speaking")


def test_a_server_leaves_it_to_the_client(server: RunningServer, panel: bytes, said: bytes) -> None:
    call = Call(
        "lipwarp",
        {"VIDEO": panel, "AUDIO": said, "OPTIONS": b'{"face": "speaking"}'},
        {"RESULT": Expected(size=1 << 20), "REPORT": Expected(size=1 << 14)},
    )

    async def ask() -> None:
        async with AsyncClient(server.url) as own:
            await own._fleet.infer(call)

    with pytest.raises(OptionsError, match="found out by LipServe's client"):
        asyncio.run(ask())


def frames_of(path: Path, count: int) -> list[NDArray[np.uint8]]:
    """Return the middle square of the first frames of a video at 25 frames a second, 300 pixels wide."""
    info = probe.probe(path)
    picked = []
    for picture in decode.read(path, info, 0, count):
        image = resized(picture, info.width, info.height)
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        picked.append(cv2.resize(image[top : top + side, left : left + side], (300, 300)))
    return picked  # type: ignore[return-value]


def taking_turns(paths: list[Path], offsets: list[float], length: int) -> tuple[bytes, NDArray[np.int64]]:
    """Return two real talking faces side by side: one speaks while the other, held and swaying, listens.

    Args:
        offsets: seconds by which the lips of each are early in its own file. length: frames of a turn.
    """
    pictures = [frames_of(path, 125) for path in paths]
    sounds = [
        audio.load(path)[early(path) + round(offset * RATE) :]
        for path, offset in zip(paths, offsets, strict=True)
    ]
    truth = np.arange(125) // length % 2
    heard = np.zeros(5 * RATE, np.float32)
    file = io.BytesIO()
    with VideoWriter(file, 600, 300, Fraction(25), Colour(), crf=16) as writer:
        for number, who in enumerate(truth):
            now = slice(number * RATE // 25, (number + 1) * RATE // 25)
            heard[now][: len(sounds[who][now])] = sounds[who][now]
            sway = np.array([[1, 0, 2 * np.sin(number / 11)], [0, 1, 1.5 * np.cos(number / 13)]], np.float32)
            held = cv2.warpAffine(pictures[1 - who][0], sway, (300, 300), borderMode=cv2.BORDER_REFLECT)
            both = [held, held]
            both[who] = pictures[who][number]
            writer.write(portrait.picture(np.concatenate(both, axis=1)))
    return _with_sound(file.getvalue(), audio.wav(heard)), truth


def _with_sound(video: bytes, sound: bytes) -> bytes:
    file = io.BytesIO()
    with (
        av.open(io.BytesIO(video)) as pictures,
        av.open(io.BytesIO(sound)) as heard,
        av.open(file, "w", format="mp4") as output,
    ):
        stream = output.add_stream_from_template(pictures.streams.video[0])
        track = output.add_stream("aac", rate=RATE, layout="mono")
        for packet in pictures.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
        for frame in heard.decode(audio=0):
            output.mux(track.encode(frame))
        output.mux(track.encode(None))
    return file.getvalue()


@pytest.mark.whole
@pytest.mark.parametrize(
    ("names", "offsets"),
    [
        (("SadTalker__WDA_AlexandriaOcasioCortez_000.mp4", "video-retalking__2.mp4"), (0.12, 0.0)),
        (("SadTalker__WDA_BobMenendez_000.mp4", "Real3DPortrait__May_5s.mp4"), (0.0, 0.12)),
    ],
    ids=["one", "two"],
)
def test_of_two_real_faces_that_take_turns_the_speaker_is_known(
    client: Client, shared_data: Callable[[str], Path], names: tuple[str, str], offsets: tuple[float, float]
) -> None:
    video, truth = taking_turns([shared_data(f"video/{name}") for name in names], list(offsets), 62)
    found = client.faces(video)
    sides = {person.number: int(person.box[0] > 300) for person in found.people}
    said = np.full(125, -1)
    for turn in found.turns:
        said[round(turn.begin * 25) : round(turn.end * 25)] = sides[turn.person]
    assert float((said == truth).mean()) >= 0.95
