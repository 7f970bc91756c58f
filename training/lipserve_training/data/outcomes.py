"""The outcome of each video: reported at the end, and stored so that the video is not processed again."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lipserve_training.data import store
from lipserve_training.data.videos import Video


class Outcome(BaseModel):
    """The outcome of one video: the clips that were taken, and the reason for each dropped part.

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


def finished(video: Video, target: Path, settings: str) -> Outcome | None:
    """Return what became of a video in an earlier run, where that holds and its clips are still there."""
    outcome = _noted(video, target)
    if outcome is None or (outcome.settings, outcome.speaker) != (settings, video.speaker):
        return None
    try:
        same = outcome.sha256 == video.sha256()
    except OSError:
        return None
    return outcome if same and all(store.path(target, e.clip).is_file() for e in outcome.clips) else None


def _noted(video: Video, target: Path) -> Outcome | None:
    try:
        return Outcome.model_validate_json(_note(target, video).read_bytes())
    except (OSError, ValueError):
        return None


def remember(video: Video, target: Path, outcome: Outcome) -> None:
    """Note what became of a video, or raise StorageError."""
    store.save(_note(target, video), outcome.model_dump_json().encode())


def forget(video: Video, target: Path) -> None:
    """Delete what an earlier run with other settings, or of another video of this name, made."""
    before = _noted(video, target)
    if before is not None:
        _note(target, video).unlink()
        for entry in before.clips:
            store.path(target, entry.clip).unlink(missing_ok=True)


def _note(target: Path, video: Video) -> Path:
    return target / "videos" / f"{video.identifier}.json"
