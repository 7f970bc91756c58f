"""The video of a call: scanned once without decoding, and cut into the stretches that segments need."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from lipserve.errors import InputError
from lipserve.files.picture import MediaSource, VideoInfo
from lipserve.media import cut, index, probe
from lipserve.media.cut import Sound
from lipserve.media.opening import check_declared, opened
from lipserve.quality import own_sound
from lipserve.segments import Span

_EARLIER = 0.5  # seconds: where sound is sought, so that a decoder has begun when it matters


class Film:
    """Args:
    file: refused with a typed error where it is no video.
    matte: the request's option.

    Attributes:
        index: of its packets.
    """

    def __init__(self, file: MediaSource, matte: str = "white") -> None:
        self.file = file
        self._declared = False  # whether it has been looked at what the header declares
        with opened(file, declared=False) as video:
            self.index = index.scan(video)
            self.info: VideoInfo = replace(probe.probe(video), matte=matte)

    @cached_property
    def sha256(self) -> str:
        """Of the whole file, in hexadecimal."""
        if isinstance(self.file, bytes):
            return hashlib.sha256(self.file).hexdigest()
        with Path(self.file).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def key_frames(self) -> list[int]:
        """See `lipserve.media.cut.key_frames`."""
        return cut.key_frames(self.index, self.info)

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return len(self.file) if isinstance(self.file, bytes) else Path(self.file).stat().st_size

    def cut(self, span: Span, heard: Span | None = None) -> bytes:
        """Return a file with the source frames of a span; the whole file if it cannot be cut.

        Args:
            heard: frames whose sound travels too, where it can be read; None: none does.
        """
        self._check_declared()
        sound = None if heard is None else self._sound(heard)
        return cut.cut(self.file, self.index, self.info, span.first, span.count, sound)

    def piece(self, span: Span) -> bytes | None:
        """Return a small file with the source frames of a span; None if it cannot be cut."""
        self._check_declared()
        return cut.piece(self.file, self.index, self.info, span.first, span.count)

    def _sound(self, heard: Span) -> Sound | None:
        """Return the video's own sound of some frames; None where it has none that can be placed."""
        info = self.info
        if not info.has_audio or info.clock != "file":
            return None
        begin = info.start + heard.first / info.fps
        try:
            samples = own_sound.sound(self.file, info, heard, True, max(0.0, float(begin) - _EARLIER))
        except InputError:  # it matters to a measurement alone
            return None
        return Sound(samples, begin)

    def _check_declared(self) -> None:
        """Look at what the file's header declares, once: a stretch does not carry it to the server.

        Of a file that travels as it is, the server looks at it.
        """
        if not self._declared:
            check_declared(self.file)
            self._declared = True
