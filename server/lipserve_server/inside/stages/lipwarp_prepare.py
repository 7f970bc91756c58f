"""Prepare stage of `lipwarp`: analyse a video once, for all its segments and later speeches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lipserve.errors import OptionsError
from lipserve.files.picture import VideoInfo
from lipserve.leaves import Leaves
from lipserve.lipwarp.prepare import prepare, stretches
from lipserve.lipwarp.source import Source
from lipserve.media import cut, index, probe
from lipserve.media.opening import VideoSource, opened
from lipserve.options import Options, PrepareOptions, parse
from lipserve.segments import Span
from lipserve_server.inside.limits import Limits


class LipwarpPrepare:
    """Calls `face_detector` and `face_landmarks` for a spread of the source frames."""

    def __init__(self, leaves: Leaves, limits: Limits | None = None) -> None:
        self._leaves = leaves
        self._limits = limits or Limits.of()

    def __call__(self, videos: Sequence[bytes], options: bytes | None = None) -> dict[str, Any]:
        """Return SOURCE.

        Args:
            videos: a file for each stretch that the options name, or one that holds them all.

        Raises:
            InputError: options or videos that cannot be used.
        """
        settings = parse(PrepareOptions, options)
        if len(videos) not in (1, len(settings.stretches)):
            raise OptionsError(
                f"VIDEO has {len(videos)} files for {len(settings.stretches)} stretches.",
                "Send one file for every stretch, or one file with all stretches.",
            )
        spans = [Span(stretch.first, stretch.frames) for stretch in settings.stretches]
        with opened(videos[0]) as first:
            info = settings.source or probe.probe(first)
            self._limits.check_picture(info)
            files: list[VideoSource] = [first, *videos[1:]]
            source = look(files, spans, info, self._leaves, Options(face=settings.face), settings.sha256)
        return {"SOURCE": source.to_bytes()}


def look(
    videos: Sequence[VideoSource],
    spans: Sequence[Span],
    info: VideoInfo,
    leaves: Leaves,
    options: Options,
    sha256: str = "",
    needed: Span | None = None,
) -> Source:
    """Return the SOURCE of a video for the faces that a request asks for.

    Args:
        videos: a file for each of the spans, or one that holds them all.
        spans: what is looked at, rising; none: a spread of the frames that are `needed`.
        needed: the source frames that matter; None: all.
    """
    options.check_face()
    point = options.point_in(info)
    keys = cut.key_frames(index.scan(videos[0]), info) if len(videos) == 1 else None
    spans = spans or stretches(needed or Span(0, info.frames), keys or ())
    return prepare(videos, spans, info, leaves, options.face, point, sha256, keys)
