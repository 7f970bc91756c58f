from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from demo import portrait
from lipserve import audio
from lipserve.errors import SetupError
from lipserve_training.data import prepare, store
from lipserve_training.data.outcomes import Outcome
from lipserve_training.data.prepare import Settings
from lipserve_training.data.videos import Video, find

SharedData = Callable[[str], Path]
Film = Callable[..., Path]
Named = Callable[[Path], Video]


def noise(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * 16000)).astype(np.float32)


def test_short_clips_need_more_and_keeping_all_keeps_all(tmp_path: Path) -> None:
    settings = Settings(tmp_path, "estimate", 0.2)
    assert [round(settings.least(frames), 3) for frames in (75, 300, 750)] == [0.4, 0.2, 0.126]
    assert Settings(tmp_path, "trust", -1).least(750) == -1


def run(videos: list[Video], target: Path, models: Path, workers: int = 1, **more: object) -> list[Outcome]:
    settings = {"offset": "trust", "min_sync": -1.0} | more
    return prepare.prepare(videos, target, Settings(models, **settings), workers, lambda _: None)  # type: ignore[arg-type]


def contents(target: Path) -> dict[str, bytes]:
    return {str(p.relative_to(target)): p.read_bytes() for p in sorted(target.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_useless_clips_are_dropped_with_the_reason(
    tmp_path: Path, exported: Path, film: Film, video: Named
) -> None:
    grey = [np.full((96, 96, 3), 90, np.uint8)] * 50
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    files = {
        tmp_path / "text.mp4": "not a media file",
        tmp_path / "absent.mp4": "FileNotFoundError",
        film(tmp_path / "mute.mkv", grey): "no sound",
        film(tmp_path / "faceless.mkv", grey, noise(2)): "50 of 50 frames: no face",
        film(tmp_path / "one.mkv", grey[:1], noise(2)): "no face",
    }
    outcomes = run([video(path) for path in files], tmp_path / "data", exported)
    told = {outcome.source: outcome.dropped for outcome in outcomes}
    for path, reason in files.items():
        (line,) = told[path.name]
        assert reason in line
    with pytest.raises(SetupError, match="holds no clip"):
        store.read_index(tmp_path / "data")


@pytest.fixture(scope="session")
def faces() -> list[NDArray[np.uint8]]:
    """The portrait for 2.4 seconds at 25 fps."""
    return portrait.frames(2.4, (320, 320))


@pytest.mark.slow
def test_the_life_of_a_dataset(
    tmp_path: Path, exported: Path, film: Film, faces: list[NDArray[np.uint8]]
) -> None:
    """Two workers; again: nothing is done; a clip deleted, a speaker renamed, other settings: only that."""
    samples = noise(2.4)
    paths = [film(tmp_path / "in" / name, faces, samples) for name in ("a/1.mkv", "b/2.mkv")]
    target = tmp_path / "data"
    videos = find([tmp_path / "in"], {})
    run(videos, target, exported, workers=2)
    entries = store.read_index(target)
    assert [(e.source, e.speaker, e.frames, e.first_frame, e.offset) for e in entries] == [
        ("a/1.mkv", "a", 60, 0, 0), ("b/2.mkv", "b", 60, 0, 0),
    ]  # fmt: skip
    clip = store.read(target, entries[0].clip)
    np.testing.assert_allclose(clip.samples, samples, atol=1e-4)
    assert clip.lips.shape == (60, 4)
    assert clip.image(59).shape == (256, 256, 3)
    first = contents(target)

    def made(path: Path) -> int:
        return path.stat().st_mtime_ns

    files = [store.path(target, entry.clip) for entry in entries]
    before = [made(file) for file in files]
    run(videos, target, exported)
    assert contents(target) == first
    assert [made(file) for file in files] == before

    files[0].unlink()
    run(videos, target, exported)
    assert contents(target) == first
    assert made(files[1]) == before[1]

    renamed = find([tmp_path / "in"], {"1.mkv": "ann"})
    assert [e.speaker for o in run(renamed, target, exported) for e in o.clips] == ["ann", "b"]
    assert made(files[1]) == before[1]

    outcomes = run(renamed, target, exported, min_sync=0.9)
    assert all("agree by" in outcome.dropped[0] and not outcome.clips for outcome in outcomes)
    assert not any(file.exists() for file in files)
    assert len(paths) == len(list(target.glob("videos/*.json")))


@pytest.mark.slow
def test_a_clip_ends_at_a_cut_and_with_its_sound(
    tmp_path: Path, exported: Path, film: Film, video: Named, faces: list[NDArray[np.uint8]]
) -> None:
    """Two scenes of 60 frames, of which one is dark; sound for 105 of 120 frames, and for 97."""
    dark = [face // 3 for face in faces]
    path = film(tmp_path / "cut.mkv", [*faces, *dark], noise(4.2))
    (outcome,) = run([video(path)], tmp_path / "data", exported)
    assert [(e.first_frame, e.frames) for e in outcome.clips] == [(0, 60), (60, 45)]
    short = film(tmp_path / "short.mkv", [*faces, *dark], noise(3.88))
    (outcome,) = run([video(short)], tmp_path / "data", exported)
    assert [(e.first_frame, e.frames) for e in outcome.clips] == [(0, 60)]
    assert outcome.dropped == ["frames 60 to 119 at 25 fps: the sound is shorter than 40 frames there"]
    long = film(tmp_path / "long.mkv", faces, noise(30))
    (outcome,) = run([video(long)], tmp_path / "data", exported)
    assert [(e.first_frame, e.frames) for e in outcome.clips] == [(0, 60)]


@pytest.mark.slow
def test_a_video_of_30_fps_is_retimed(
    tmp_path: Path, exported: Path, film: Film, video: Named, faces: list[NDArray[np.uint8]]
) -> None:
    """Neighbours differ by their brightness: frame i shows source frame floor(1.2 (i + 0.5))."""
    light = 1 - 0.06 * np.abs(np.arange(60) % 16 - 8)
    shown = [np.asarray(face * gain, np.uint8) for face, gain in zip(faces, light, strict=True)]
    path = film(tmp_path / "thirty.mkv", shown, noise(2), fps=30)
    (outcome,) = run([video(path)], tmp_path / "data", exported)
    assert [entry.frames for entry in outcome.clips] == [50]
    clip = store.read(tmp_path / "data", outcome.clips[0].clip)
    same = film(tmp_path / "same.mkv", shown, noise(2.4), fps=25)
    (other,) = run([video(same)], tmp_path / "data", exported)
    source = store.read(tmp_path / "data", other.clips[0].clip)
    for i in range(50):
        expected = (12 * i + 6) // 10
        near = range(max(0, expected - 1), min(60, expected + 2))
        assert max(near, key=lambda j: cv2.PSNR(clip.image(i), source.image(j))) == expected


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0, 4, -6])
def test_an_offset_is_found_and_corrected(
    offset: int, tmp_path: Path, exported: Path, shared_data: SharedData, film: Film, video: Named
) -> None:
    """A GRID clip whose sound was moved: by a positive offset, its lips come later."""
    source = str(shared_data("video/LipNet__sbwe5n.mpg"))
    pictures = decoded(source)
    samples = audio.load(source)
    moved = samples[offset * 640 :] if offset >= 0 else np.pad(samples, (-offset * 640, 0))
    path = film(tmp_path / "moved.mkv", pictures, moved)
    (outcome,) = run([video(path)], tmp_path / "data", exported, offset="estimate", min_sync=0.2)
    (entry,) = outcome.clips
    assert entry.offset == offset
    assert entry.sync > 0.65
    kept = store.read(tmp_path / "data", entry.clip).samples[3200:38400]
    truth = samples[entry.first_frame * 640 :][3200:38400]
    np.testing.assert_allclose(kept, truth, atol=1e-3)


def decoded(path: str) -> list[NDArray[np.uint8]]:
    reader = cv2.VideoCapture(path)
    pictures = []
    while True:
        there, picture = reader.read()
        if not there:
            return pictures
        pictures.append(np.asarray(picture[..., ::-1], np.uint8))


@pytest.mark.slow
def test_real_clips(tmp_path: Path, exported: Path, shared_data: SharedData) -> None:
    """The verdicts of docs/compression.md."""
    names = ("LipNet__sbwe5n.mpg", "Syncnet_FCN__example.avi", "SadTalker__WDA_KatieHill_000.mp4")
    for name in names:
        shutil.copy(shared_data(f"video/{name}"), tmp_path / name)
    videos = find([tmp_path], {"LipNet__sbwe5n.mpg": "s32"})
    outcomes = run(videos, tmp_path / "data", exported, offset="estimate", min_sync=0.2)
    found = {o.source: [(e.speaker, e.offset, e.frames) for e in o.clips] for o in outcomes}
    assert found == {
        "LipNet__sbwe5n.mpg": [("s32", 0, 75)],
        "Syncnet_FCN__example.avi": [("Syncnet_FCN__example", 3, 314)],
        "SadTalker__WDA_KatieHill_000.mp4": [],
    }
    assert "agree by" in next(o for o in outcomes if "Katie" in o.source).dropped[0]
