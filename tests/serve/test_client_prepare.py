"""A video that is prepared once: for its segments, for other speeches, for the faces that were asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import Client, DubResult, audio
from lipserve.errors import LipServeError, NoFaceError, OptionsError, SourceError
from lipserve.files.picture import Picture
from lipserve.lipwarp.geometry import Mouth
from lipserve.lipwarp.source import MAGIC, Source, from_bytes
from lipserve.media import decode, probe
from lipserve.media.encode import VideoWriter
from lipserve.options import Options
from lipserve.tiers import LIPWARP
from lipserve_cli.main import main
from lipserve_client._client import drive
from lipserve_client._clip import Clip
from lipserve_client._transports import Call, Expected
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.lipwarp_preprocess import LipwarpPreprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from tests.support.segments import shorten
from tests.support.servers import RunningServer

pytestmark = pytest.mark.serve

SIZE = (256, 256)
ONE, TWO = "grid/s1/bbal7s.mpg", "video/LipNet__lbbc2a.mpg"  # 75 frames of 360 x 288 each


@pytest.fixture(scope="module")
def video() -> bytes:
    """Eight seconds of a face, of which a spread is looked at."""
    return portrait.clip(8.0, SIZE)


@pytest.fixture(scope="module")
def prepared(client: Client, video: bytes) -> bytes:
    return client.prepare(video)


@pytest.fixture(scope="module")
def rows(exported: Path) -> Callable[..., dict[str, Any]]:
    """Return what gives the mouths of a video and where they lie: those of a SOURCE's people."""
    stage = LipwarpPreprocess(Preprocess(LIPWARP, OnnxLeaves(exported)))

    def find(video: bytes, sound: bytes, source: bytes) -> dict[str, Any]:
        kept = replace(from_bytes(source), sha256="")  # of the source, which may not be this video
        options = Options(face=kept.face).model_dump_json(exclude_unset=True)
        return stage(video, sound, options.encode(), kept.to_bytes())

    return find


def spoken(speech: Path, seconds: float, begin: float = 0.0) -> bytes:
    """Return a stretch of a speech, again and again where that is longer."""
    samples = np.roll(audio.load(speech), -round(begin * 16_000))
    return audio.wav(np.resize(samples, round(seconds * 16_000)))


def beside(*paths: Path) -> bytes:
    """Return the videos side by side."""
    infos = [probe.probe(path) for path in paths]
    file = io.BytesIO()
    width = sum(info.width for info in infos)
    with VideoWriter(file, width, infos[0].height, infos[0].fps, infos[0].colour, crf=12) as writer:
        for shown in zip(*(decode.read(path, infos[0]) for path in paths), strict=True):
            planes = (np.concatenate(each, 1) for each in zip(*((p.y, p.u, p.v) for p in shown), strict=True))
            writer.write(Picture(*planes, infos[0].colour))
    return file.getvalue()


def pictures(result: DubResult) -> list[Picture]:
    return list(decode.read(result.content, probe.probe(result.content)))


def changes(video: bytes, result: DubResult) -> NDArray[np.float64]:
    """Return how far each frame's halves are from the source's, [F, 2]: levels, where most of all."""
    source = decode.read(video, probe.probe(video))
    gaps = [np.abs(a.y.astype(int) - b.y) for a, b in zip(pictures(result), source, strict=True)]
    return np.array([[half.max() for half in np.split(gap, 2, axis=1)] for gap in gaps], np.float64)


def test_a_source_is_small_and_the_same_each_time(client: Client, video: bytes, prepared: bytes) -> None:
    found = from_bytes(prepared)
    (person,) = found.people
    assert (found.width, found.height, found.frames, found.face) == (*SIZE, 200, "largest")
    assert len(person.memories) >= 2
    assert {int(frame) // 25 for frame in person.places[:, 0]} == set(range(8))  # from all over the video
    assert len(prepared) < 2_000_000
    assert client.prepare(video) == prepared


def test_pieces_travel_in_shared_memory_too(server: RunningServer, video: bytes, prepared: bytes) -> None:
    with Client(server.url, shm="system") as client:
        assert client.prepare(video) == prepared


def test_one_source_serves_other_speeches(
    client: Client, video: bytes, prepared: bytes, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, LIPWARP, seconds=1.0)
    first, again = (client.dub(video, spoken(speech, 2.0), source=prepared) for _ in range(2))
    second = client.dub(video, spoken(speech, 2.0, begin=2.5), source=prepared)
    assert first.report.segments == second.report.segments == 2
    assert first.prepare_seconds == 0
    assert [picture.y.tobytes() for picture in pictures(first)] == [
        picture.y.tobytes() for picture in pictures(again)
    ]
    gaps = [
        float(np.abs(a.y.astype(int) - b.y).max())
        for a, b in zip(pictures(first), pictures(second), strict=True)
    ]
    assert max(gaps) > 30  # another mouth


@pytest.mark.slow
@pytest.mark.parametrize("face", [pytest.param("largest", marks=pytest.mark.whole), "all"])
def test_segments_equal_the_whole(
    client: Client,
    rows: Callable[..., dict[str, Any]],
    shared_data: Callable[[str], Path],
    speech: Path,
    face: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    people = 2 if face == "all" else 1
    video = beside(*map(shared_data, (ONE, TWO)[:people]))
    sound = spoken(speech, 4.0)  # the clip, and a part of it back
    whole = client.dub(video, sound, crf=0, face=face)
    shorten(monkeypatch, LIPWARP, seconds=1.4)
    parts = client.dub(video, sound, crf=0, face=face)
    assert (whole.report.segments, parts.report.segments) == (1, 3)
    assert whole.report.faces == parts.report.faces == people
    assert whole.prepare_seconds == 0 < parts.prepare_seconds
    found = rows(video, sound, client.prepare(video, face=face))
    assert len(found["FRAMES"]) == 100 * people
    errors = [
        float(
            np.square(
                np.subtract(*(Mouth().crop(shown[frame], place).astype(float) for shown in both))
            ).mean()
        )
        for both in [(pictures(whole), pictures(parts))]
        for frame, place in zip(found["FRAMES"], found["TRANSFORMS"], strict=True)
    ]
    mean, worst = (10 * np.log10(255**2 / max(error, 1e-6)) for error in (np.mean(errors), max(errors)))
    print(f"face={face}: {mean:.1f} dB, worst frame {worst:.1f} dB")
    assert mean >= 45
    assert worst >= 42


@pytest.mark.slow
def test_no_segment_chooses_another_person(
    client: Client, shared_data: Callable[[str], Path], speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = beside(*map(shared_data, (ONE, TWO)))
    shorten(monkeypatch, LIPWARP, seconds=1.0)
    result = client.dub(video, spoken(speech, 3.0))
    changed = changes(video, result) > 25
    assert result.report.segments == 3
    assert changed.any(0).sum() == 1, "one side alone is touched"
    assert changed.any(1).mean() > 0.8


@pytest.mark.slow
def test_strength_scales_how_far_the_mouth_opens(
    client: Client, rows: Callable[..., dict[str, Any]], shared_data: Callable[[str], Path]
) -> None:
    video = shared_data(ONE).read_bytes()
    source, sound = client.prepare(video), spoken(shared_data(ONE), 3.0)
    openings = []
    for strength in (0.5, 1.0, 1.5):
        made = client.dub(video, sound, source=source, strength=strength, crf=12)
        found = rows(made.content, sound, source)
        assert len(found["SHAPES"]) == 75
        openings.append(float(np.quantile(found["SHAPES"][:, 0], 0.9)))
    print("openings", openings)
    assert openings[0] < 0.75 * openings[1]
    assert openings[2] > 1.2 * openings[1]


def _of_another_size(source: Source) -> bytes:
    return replace(source, width=source.width + 2).to_bytes()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: replace(from_bytes(data), sha256="0" * 64).to_bytes(), "from another video"),
        (lambda data: _of_another_size(from_bytes(data)), "258x256"),
        (lambda data: replace(from_bytes(data), face="all").to_bytes(), "face=all, not largest"),
        (lambda data: data[:-1000], "damaged or cut short"),
        (lambda data: data[:20], "damaged or cut short"),
        (lambda data: MAGIC[:6] + b"00" + data[8:], "another version"),
        (lambda data: b"SOURCE", "not a SOURCE"),
    ],
)
def test_a_source_that_does_not_belong_is_refused_by_the_server_too(
    client: Client, video: bytes, prepared: bytes, spoil: Callable[[bytes], bytes], words: str
) -> None:
    call = Clip(video, audio.wav(np.zeros(3200, np.float32)), Options(), LIPWARP.name).request(0)
    whole = {**call.inputs, "VIDEO": video, "OPTIONS": b"{}", "SOURCE": spoil(prepared)}
    with pytest.raises(SourceError, match=words):
        drive(client._client._fleet.infer(replace(call, inputs=whole)))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (b'{"face": "nobody"}', OptionsError, "not a valid choice of a face"),
        (b'{"face": "256,0"}', OptionsError, "outside the picture"),
        (b'{"stretches": [{"first": 0, "frames": 18}] }', OptionsError, "2 files for 1 stretches"),
        (b'{"stretches": [{"first": 0, "frames": 1001}] }', OptionsError, r"stretches\.0\.frames"),
        (b'{"sha256": "../etc"}', OptionsError, "sha256"),
        (b"[]", OptionsError, "JSON"),
    ],
)
def test_a_hostile_request_to_prepare_is_refused(
    client: Client, video: bytes, options: bytes, error: type[LipServeError], words: str
) -> None:
    files = np.array([video] * (2 if b"stretches" in options else 1), np.object_)
    call = Call("lipwarp_prepare", {"VIDEO": files, "OPTIONS": options}, {"SOURCE": Expected()})
    with pytest.raises(error, match=words):
        drive(client._client._fleet.infer(call))


def test_a_video_without_a_face_cannot_be_prepared(client: Client) -> None:
    with pytest.raises(NoFaceError, match="from the front"):
        client.prepare(portrait.clip(8.0, (128, 128), zoom=20.0))


def test_the_commands(
    server: RunningServer, video: bytes, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, source, result = (tmp_path / name for name in ("film.mp4", "person.source", "out.mp4"))
    film.write_bytes(video)
    url = ["--url", server.url]
    assert main(["prepare", str(film), "-o", str(source), *url]) == 0
    assert f"{source}: 1 face, " in capsys.readouterr().out
    asked = ["dub", str(film), str(speech), "-o", str(result), "--source", str(source), *url]
    assert main([*asked, "--strength", "1.2", "--report", str(tmp_path / "report.json")]) == 0
    assert "150 frames" in capsys.readouterr().out
    assert '"covered_frames": 0' in (tmp_path / "report.json").read_text()
    film.write_bytes(portrait.clip(8.0, (128, 128)))
    assert main(asked) == 2
    assert "made from another video" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "film.mp4",
        "out.mp4",
        "person.source",
        "report.json",
    ]
