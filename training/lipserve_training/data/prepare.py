"""`lipserve-train prepare`: talking videos to a dataset of aligned faces and their speech."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from lipserve import audio
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.errors import InputError, SetupError
from lipserve.media import probe
from lipserve_export.manifest import write_atomically
from lipserve_training import lips, meter
from lipserve_training.data import store, track
from lipserve_training.faces import FaceModels
from lipserve_training.lips import FPS

SUFFIXES = {".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".ts"}
REPORT = "report.json"

MIN_FRAMES = 40  # of a scene: fewer say too little about its sync
MAX_FRAMES = 750  # of a stored clip; a longer scene becomes several
MIN_SYNC = (
    0.15  # of the meter: wrong sounds reach 0.19 on average over the best of eleven lags, right ones 0.39
)
MAX_OFFSET = 10  # frames, searched on both sides
DOUBT = 0.1  # of correlation: the best of many lags beats a true zero by about this much by chance
_SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


class Outcome(BaseModel):
    """What became of one video: the clips that were taken, and why what was not taken was dropped."""

    model_config = ConfigDict(extra="forbid")

    source: str
    sha256: str
    speaker: str
    settings: str
    clips: list[store.Entry] = []
    dropped: list[str] = []


@dataclass(frozen=True)
class Settings:
    """How videos are judged.

    Attributes:
        models: a model repository with the face models.
        offset: "estimate" looks for the offset of sound and lips, "trust" takes the container's.
        min_sync: clips of a lower correlation are dropped.
    """

    models: Path
    offset: Literal["estimate", "trust"]
    min_sync: float

    @property
    def key(self) -> str:
        return f"{self.offset} {self.min_sync}"


@dataclass(frozen=True)
class Video:
    """A video to prepare: where it is, how the dataset names it, who speaks."""

    path: Path
    name: str
    speaker: str


def find(roots: Sequence[Path], speakers: dict[str, str]) -> list[Video]:
    """Return the videos under folders (or the files themselves), in order of their names.

    Args:
        speakers: file name (or name under the folder) to speaker. Else a video is of the speaker that its
            folder names, and one that lies in no sub-folder is of a speaker of its own.

    Raises:
        SetupError: a root that does not exist; no video at all.
    """
    found: dict[str, Video] = {}
    for root in roots:
        if not root.exists():
            raise SetupError(f"{root} does not exist.", "Give a folder of videos, or videos.")
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.suffix.lower() in SUFFIXES and path.is_file():
                name = path.relative_to(root).as_posix() if root.is_dir() else path.name
                parent = path.parent.name if "/" in name else path.stem
                speaker = speakers.get(name) or speakers.get(path.name) or parent
                found[name] = Video(path, name, speaker)
    if not found:
        raise SetupError(
            f"{', '.join(map(str, roots))}: no video there.",
            f"Give a folder that holds {', '.join(sorted(SUFFIXES))} files.",
        )
    return [found[name] for name in sorted(found)]


def prepare(
    videos: Sequence[Video],
    target: Path,
    settings: Settings,
    workers: int,
    on_done: Callable[[Outcome], None],
) -> list[Outcome]:
    """Write a dataset and return what became of every video. Videos that are done already are not done again.

    Args:
        on_done: called for each video, as it is done.
    """
    FaceModels(settings.models)  # what is missing is said before anything is started
    done: list[Outcome] = []
    todo = []
    for video in videos:
        outcome = _finished(video, target, settings)
        if outcome is None:
            todo.append(video)
        else:
            done.append(outcome)
            on_done(outcome)
    try:
        for outcome in _run(todo, target, settings, workers):
            done.append(outcome)
            on_done(outcome)
    finally:
        done.sort(key=lambda outcome: outcome.source)
        store.write_index(target, [entry for outcome in done for entry in outcome.clips])
        rows = [outcome.model_dump_json(indent=1) for outcome in done]
        write_atomically(target / REPORT, f"[{','.join(rows)}]\n".encode())
    return done


def _run(videos: list[Video], target: Path, settings: Settings, workers: int) -> Iterable[Outcome]:
    if workers <= 1 or len(videos) <= 1:
        yield from (one(video, target, settings) for video in videos)
        return
    with ProcessPoolExecutor(min(workers, len(videos))) as pool:
        futures = [pool.submit(one, video, target, settings) for video in videos]
        try:
            yield from (future.result() for future in as_completed(futures))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def one(video: Video, target: Path, settings: Settings) -> Outcome:
    """Prepare one video: its clips are written, its outcome is returned and remembered."""
    cv2.setNumThreads(1)
    outcome = Outcome(
        source=video.name, sha256=_sha256(video.path), speaker=video.speaker, settings=settings.key
    )
    try:
        _take(video, target, settings, outcome)
    except InputError as error:
        outcome.dropped.append(error.message)
    write_atomically(_note(target, video), outcome.model_dump_json().encode())
    return outcome


def _take(video: Video, target: Path, settings: Settings, outcome: Outcome) -> None:
    info = probe.probe(str(video.path))
    if not info.has_audio:
        outcome.dropped.append("no sound")
        return
    samples = audio.load(str(video.path))
    face, cuts = track.follow(video.path, info, _models(settings.models))
    taken = list(track.scenes(face, cuts, info, MAX_FRAMES)) if face else []
    if not taken:
        outcome.dropped.append("no face that can be followed")
    for number, scene in enumerate(taken):
        name = f"{_identifier(video.name)}-{number:03d}"
        where = f"frames {scene.first} to {scene.first + len(scene) - 1} at {FPS} fps"
        if len(scene) < MIN_FRAMES:
            outcome.dropped.append(f"{where}: shorter than {MIN_FRAMES} frames without a cut or a lost face")
            continue
        shown = lips.measure(scene.landmarks)
        verdict = meter.shipped().judge(shown, _heard(samples, scene, 0), MAX_OFFSET)
        trusted = settings.offset == "trust" or verdict.at_zero > verdict.score - DOUBT
        offset, sync = (0, verdict.at_zero) if trusted else (verdict.lag, verdict.score)
        if sync < settings.min_sync:
            outcome.dropped.append(f"{where}: sound and lips agree by {sync:.2f} only, at {offset} frames")
            continue
        images = [store.encode(crop) for crop in track.crops(video.path, info, scene)]
        store.write(target, name, store.Clip(images, _heard(samples, scene, offset), shown))
        outcome.clips.append(
            store.Entry(
                clip=name,
                speaker=video.speaker,
                frames=len(scene),
                source=video.name,
                sha256=outcome.sha256,
                first_frame=scene.first,
                offset=offset,
                sync=round(sync, 4),
            )
        )


def _heard(samples: Samples, scene: track.Scene, offset: int) -> Samples:
    """Return the sound of a scene moved later by `offset` frames: as long as the scene, silence around it."""
    first = (scene.first - offset) * _SAMPLES_PER_FRAME
    at = first + np.arange(len(scene) * _SAMPLES_PER_FRAME)
    inside = (at >= 0) & (at < len(samples))
    out = np.zeros(len(at), np.float32)
    out[inside] = samples[at[inside]]
    return out


@lru_cache
def _models(repository: Path) -> FaceModels:
    return FaceModels(repository)


def _finished(video: Video, target: Path, settings: Settings) -> Outcome | None:
    try:
        outcome = Outcome.model_validate_json(_note(target, video).read_bytes())
    except (OSError, ValueError):
        return None
    same = outcome.settings == settings.key and outcome.sha256 == _sha256(video.path)
    return outcome if same and outcome.speaker == video.speaker else None


def _note(target: Path, video: Video) -> Path:
    return target / "videos" / f"{_identifier(video.name)}.json"


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in name.replace("/", "__"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cores() -> int:
    return len(os.sched_getaffinity(0))
