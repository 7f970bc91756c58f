"""`lipserve-train prepare`: talking videos to a dataset of aligned faces and their speech."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

from lipserve import audio
from lipserve.audio.reader import open_audio
from lipserve.audio.samples import Samples
from lipserve.contracts import SAMPLE_RATE
from lipserve.errors import InputError, LipServeError, SetupError
from lipserve.media import probe
from lipserve.media.picture import VideoInfo
from lipserve_training import faces, lips, meter
from lipserve_training.data import pool, store, track
from lipserve_training.faces import FaceModels
from lipserve_training.lips import FPS

Offset = Literal["estimate", "trust"]

SUFFIXES = {".mp4", ".mpg", ".mpeg", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".ts"}
REPORT = "report.json"

MIN_FRAMES = 40  # of a scene: fewer say too little about its sync
MAX_FRAMES = 750  # of a stored clip; a longer scene becomes several
MAX_OFFSET = 10  # frames, searched on both sides
DOUBT = 0.1  # of correlation: another offset that is better by less leaves zero where it is
BELIEF = 5.5  # over the root of the frames: the score that an offset other than zero needs
LONG = 300  # frames: shorter clips need more than the least score, longer ones less, as chance does
_SAMPLES_PER_FRAME = SAMPLE_RATE // FPS


class Outcome(BaseModel):
    """What became of one video: the clips that were taken, and why what was not taken was dropped.

    Attributes:
        frames: of the whole video, at 25 fps.
        settings: what decided: `Settings.key`.
    """

    model_config = ConfigDict(extra="forbid")

    source: str
    sha256: str
    speaker: str
    settings: str
    frames: int = 0
    clips: list[store.Entry] = []
    dropped: list[str] = []


@dataclass(frozen=True)
class Settings:
    """How videos are judged.

    Attributes:
        models: a model repository with the face models.
        offset: "estimate" looks for the offset of sound and lips, "trust" takes the container's.
        min_sync: a clip of LONG frames that has a lower score is dropped (see `least`).
    """

    models: Path
    offset: Offset
    min_sync: float

    def least(self, frames: int) -> float:
        """Return the score that a clip of so many frames needs.

        Wrong sounds have scores around zero that deviate by about 1.9 / sqrt(frames).
        """
        return self.min_sync * (LONG / frames) ** 0.5 if self.min_sync > 0 else self.min_sync

    @property
    def key(self) -> str:
        """What a video's clips depend on besides the video: a digest stands for the models and the rules."""
        return f"{self.offset} {self.min_sync} {_rules(self.models)}"


@dataclass(frozen=True)
class Video:
    """A video to prepare: where it is, how the dataset names it, who speaks."""

    path: Path
    name: str
    speaker: str

    @property
    def identifier(self) -> str:
        """Return what its files in the dataset begin with: no other name of a video gives the same."""
        readable = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in self.name)
        return f"{readable[-100:].lstrip('.')}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"


def find(roots: Sequence[Path], speakers: dict[str, str]) -> list[Video]:
    """Return the videos under folders (or the files themselves), in order of their names.

    Args:
        speakers: file name (or name under the folder) to speaker. Else a video is of the speaker that its
            folder names, and one that lies in no sub-folder is of a speaker of its own.

    Raises:
        SetupError: a root that does not exist; no video at all; two videos of one name.
    """
    found: dict[str, Video] = {}
    for root in roots:
        if not root.exists():
            raise SetupError(f"{root} does not exist.", "Give a folder of videos, or videos.")
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.is_file() and (path == root or path.suffix.lower() in SUFFIXES):
                name = path.relative_to(root).as_posix() if root.is_dir() else path.name
                parent = path.parent.name if "/" in name else path.stem
                speaker = speakers.get(name) or speakers.get(path.name) or parent
                known = found.setdefault(name, Video(path, name, speaker))
                if not known.path.samefile(path):
                    raise SetupError(
                        f"{known.path} and {path} would both be called {name}.",
                        "Prepare the folder that holds both.",
                    )
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
    """Write a dataset of these videos and return what became of each. What is done already is not done again.

    Interrupted, it leaves a dataset of the videos that were done; called again, it goes on from there.

    Args:
        workers: processes; 1 works in this one.
        on_done: called for each video, as it is done.

    Raises:
        SetupError: the face models are missing, or a process died. StorageError: the disk is full.
    """
    FaceModels(settings.models)  # what is missing is said before anything is started
    store.make(target)
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
        with closing(pool.each(partial(one, target=target, settings=settings), todo, workers)) as outcomes:
            for outcome in outcomes:
                done.append(outcome)
                on_done(outcome)
    finally:
        done.sort(key=lambda outcome: outcome.source)
        store.sweep(target)
        store.write_index(target, [entry for outcome in done for entry in outcome.clips])
        rows = ",".join(outcome.model_dump_json(indent=1) for outcome in done)
        store.save(target / REPORT, f"[{rows}]\n".encode())
    return done


def one(video: Video, target: Path, settings: Settings) -> Outcome:
    """Prepare one video: its clips are written, its outcome is returned and remembered.

    A defect that a video brings to light is told as the reason why it was dropped, and not remembered.
    """
    cv2.setNumThreads(1)
    outcome = Outcome(source=video.name, sha256="", speaker=video.speaker, settings=settings.key)
    try:
        outcome.sha256 = _sha256(video.path)
        _forget(video, target)
        _take(video, target, settings, outcome)
    except InputError as error:
        outcome.dropped.append(error.message)
    except LipServeError:
        raise
    except Exception as error:
        outcome.dropped.append(f"{type(error).__name__}: {error}")
        return outcome
    store.save(_note(target, video), outcome.model_dump_json().encode())
    return outcome


def _take(video: Video, target: Path, settings: Settings, outcome: Outcome) -> None:
    info = probe.probe(str(video.path))
    outcome.frames = track.retimed(info.frames, info)
    if not info.has_audio:
        outcome.dropped.append("no sound")
        return
    samples = speech(video.path)
    face, cuts = track.follow(video.path, info, _models(settings.models))
    unseen = outcome.frames
    for scene in track.scenes(face, cuts, info, MAX_FRAMES) if face else ():
        unseen -= len(scene)
        where = f"frames {scene.first} to {scene.first + len(scene) - 1} at {FPS} fps"
        reason = _take_scene(video, info, scene, samples, target, settings, outcome)
        if reason:
            outcome.dropped.append(f"{where}: {reason}")
    if unseen:
        outcome.dropped.append(f"{unseen} of {outcome.frames} frames: no face that can be followed")


def _take_scene(
    video: Video,
    info: VideoInfo,
    scene: track.Scene,
    samples: Samples,
    target: Path,
    settings: Settings,
    outcome: Outcome,
) -> str | None:
    """Write a scene, less what has no sound; or return why not."""
    sounding = -(-len(samples) // _SAMPLES_PER_FRAME)
    if len(scene) < MIN_FRAMES:
        return f"shorter than {MIN_FRAMES} frames without a cut or a lost face"
    scene = scene.between(0, sounding)
    if len(scene) < MIN_FRAMES:
        return f"the sound is shorter than {MIN_FRAMES} frames there"
    offset, sync = sync_of(lips.measure(scene.landmarks), samples, scene, settings.offset)
    if sync < settings.least(len(scene)):
        return f"sound and lips agree by {sync:.2f} only, of {settings.least(len(scene)):.2f}"
    scene = scene.between(offset, sounding + offset)
    name = f"{video.identifier}-{len(outcome.clips):03d}"
    images = [store.encode(crop) for crop in track.crops(video.path, info, scene)]
    store.write(
        target, name, store.Clip(images, heard(samples, scene, offset), lips.measure(scene.landmarks))
    )
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
    return None


def speech(path: Path) -> Samples:
    """Return the sound of a video from its first picture on, float32 [n] 16 kHz.

    Raises:
        AudioError: no sound, or none that can be decoded.
    """
    with open_audio(str(path)) as reader:
        early = round(reader.early * SAMPLE_RATE)
    return audio.load(str(path))[early:]


def sync_of(shown: lips.Series, samples: Samples, scene: track.Scene, how: Offset) -> tuple[int, float]:
    """Return by how many frames the lips [F, 4] of a scene come later than its sound, and the meter's score.

    Zero is doubted only where another offset is clearly better, and far better than chance.
    """
    verdict = meter.shipped().judge(shown, heard(samples, scene, 0), MAX_OFFSET)
    clear = verdict.score - DOUBT >= verdict.at_zero and verdict.score >= BELIEF / len(scene) ** 0.5
    return (verdict.lag, verdict.score) if how == "estimate" and clear else (0, verdict.at_zero)


def heard(samples: Samples, scene: track.Scene, offset: int) -> Samples:
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


@lru_cache
def _rules(models: Path) -> str:
    rules = (MIN_FRAMES, MAX_FRAMES, MAX_OFFSET, DOUBT, BELIEF, LONG, track.CROP_SIZE, track.REGION)
    digest = hashlib.sha256(repr(rules).encode() + meter.shipped().weights.tobytes())
    for model in faces.MODELS:
        digest.update(faces.graph(models, model).read_bytes())
    return digest.hexdigest()[:8]


def _finished(video: Video, target: Path, settings: Settings) -> Outcome | None:
    """Return what became of a video in an earlier run, where that holds and its clips are still there."""
    outcome = _noted(video, target)
    if outcome is None or (outcome.settings, outcome.speaker) != (settings.key, video.speaker):
        return None
    try:
        same = outcome.sha256 == _sha256(video.path)
    except OSError:
        return None
    return outcome if same and all(store.path(target, e.clip).is_file() for e in outcome.clips) else None


def _noted(video: Video, target: Path) -> Outcome | None:
    try:
        return Outcome.model_validate_json(_note(target, video).read_bytes())
    except (OSError, ValueError):
        return None


def _forget(video: Video, target: Path) -> None:
    """Delete what an earlier run with other settings, or of another video of this name, made."""
    before = _noted(video, target)
    if before is not None:
        _note(target, video).unlink()
        for entry in before.clips:
            store.path(target, entry.clip).unlink(missing_ok=True)


def _note(target: Path, video: Video) -> Path:
    return target / "videos" / f"{video.identifier}.json"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
