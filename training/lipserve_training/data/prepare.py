"""`lipserve train prepare`: talking videos to a dataset of aligned faces and their speech."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import cv2
import torch

from lipserve import verdict
from lipserve.audio.samples import Samples
from lipserve.errors import InputError, LipServeError
from lipserve.files.picture import VideoInfo
from lipserve.media import probe
from lipserve.quality import lips
from lipserve.quality.lips import FPS
from lipserve_training import faces, meter
from lipserve_training.data import outcomes, pool, store, sync, track
from lipserve_training.data.outcomes import Outcome
from lipserve_training.data.videos import Video
from lipserve_training.faces import FaceModels

REPORT = "report.json"

MIN_FRAMES = 40  # of a scene: fewer say too little about its sync
MAX_FRAMES = 750  # of a stored clip; a longer scene becomes several


@dataclass(frozen=True)
class Settings:
    """The settings for the judgement of videos.

    Attributes:
        models: a model repository with the face models.
        offset: "estimate" looks for the offset of sound and lips, "trust" takes the container's.
        min_sync: a clip of 300 frames that has a lower score is dropped (see `least`).
    """

    models: Path
    offset: sync.Offset
    min_sync: float

    def least(self, frames: int) -> float:
        """Return the score that a clip of so many frames needs (`verdict.least`)."""
        return verdict.least(frames, self.min_sync)

    @property
    def key(self) -> str:
        """The inputs of a video's clips besides the video: a digest stands for the models and the rules."""
        return f"{self.offset} {self.min_sync} {_rules(self.models)}"


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
    pending = []
    for video in videos:
        outcome = outcomes.finished(video, target, settings.key)
        if outcome is None:
            pending.append(video)
        else:
            done.append(outcome)
            on_done(outcome)
    try:
        with closing(pool.each(partial(one, target=target, settings=settings), pending, workers)) as running:
            for outcome in running:
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
    torch.set_num_threads(1)
    outcome = Outcome(source=video.name, sha256="", speaker=video.speaker, settings=settings.key)
    try:
        outcome.sha256 = video.sha256()
        outcomes.forget(video, target)
        _take(video, target, settings, outcome)
    except InputError as error:
        outcome.dropped.append(error.message)
    except LipServeError:
        raise
    except Exception as error:
        outcome.dropped.append(f"{type(error).__name__}: {error}")
        return outcome
    outcomes.remember(video, target, outcome)
    return outcome


def _take(video: Video, target: Path, settings: Settings, outcome: Outcome) -> None:
    info = probe.probe(str(video.path))
    outcome.frames = track.retimed(info.frames, info)
    if not info.has_audio:
        outcome.dropped.append("no sound")
        return
    samples = sync.speech(video.path)
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
    sounding = -(-len(samples) // sync.SAMPLES_PER_FRAME)
    if len(scene) < MIN_FRAMES:
        return f"shorter than {MIN_FRAMES} frames without a cut or a lost face"
    scene = scene.between(0, sounding)
    if len(scene) < MIN_FRAMES:
        return f"the sound is shorter than {MIN_FRAMES} frames there"
    offset, score = sync.sync_of(lips.measure(scene.landmarks), samples, scene, settings.offset)
    if score < settings.least(len(scene)):
        return f"sound and lips agree by {score:.2f} only, of {settings.least(len(scene)):.2f}"
    scene = scene.between(offset, sounding + offset)
    name = f"{video.identifier}-{len(outcome.clips):03d}"
    images = [store.encode(crop) for crop in track.crops(video.path, info, scene)]
    heard, shown = sync.heard(samples, scene, offset), lips.measure(scene.landmarks)
    store.write(target, name, store.Clip(images, heard, shown, scene.meshes()))
    outcome.clips.append(
        store.Entry(
            clip=name,
            speaker=video.speaker,
            frames=len(scene),
            source=video.name,
            sha256=outcome.sha256,
            first_frame=scene.first,
            offset=offset,
            sync=round(score, 4),
        )
    )
    return None


@lru_cache
def _models(repository: Path) -> FaceModels:
    return FaceModels(repository)


@lru_cache
def _rules(models: Path) -> str:
    rules = (
        store.VERSION,
        MIN_FRAMES,
        MAX_FRAMES,
        sync.MAX_OFFSET,
        verdict.DOUBT,
        verdict.BELIEF,
        verdict.LONG,
        track.CROP_SIZES,
        track.REGION,
    )
    digest = hashlib.sha256(repr(rules).encode() + meter.shipped().digest.encode())
    for model in faces.MODELS:
        digest.update(faces.graph(models, model).read_bytes())
    return digest.hexdigest()[:8]
