"""First stage of `lipwarp`: find the speaker, every mouth, and what covers it."""

from __future__ import annotations

import hashlib
from typing import Any

from lipserve.errors import SourceError
from lipserve.lipwarp.mouths import MouthCropper, PreparedTracker
from lipserve.lipwarp.source import Source, from_bytes
from lipserve.quality.agreement import asked_lips
from lipserve_server.inside.stages.lipwarp_prepare import look
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.request import Request


class LipwarpPreprocess:
    """Follows the people of a SOURCE; where a request brings none, it is prepared first."""

    def __init__(self, stage: Preprocess) -> None:
        self._stage = stage

    def __call__(
        self, video: bytes, audio: bytes, options: bytes | None = None, source: bytes | None = None
    ) -> dict[str, Any]:
        """Return FACES, POINTS, SHAPES, POSES and where they lie, PREPARED, and what every first stage gives.

        Raises:
            InputError: as `Preprocess`; a SOURCE that is damaged, or another video's (SourceError).
        """
        with self._stage.read(video, audio, options) as request:
            prepared = self._given(request, video, source) if source else self._made(request)
            first = request.needed.first
            tracker = PreparedTracker(self._stage.leaves, request.info, prepared, first)
            cropper = MouthCropper(tracker, request.info, prepared, first)
            answer = self._stage.answer(request, tracker, cropper, lambda rows: asked_lips(rows["SHAPES"]))
        return {**answer, "PREPARED": source or prepared.to_bytes()}

    def _given(self, request: Request, video: bytes, source: bytes) -> Source:
        prepared = from_bytes(source)
        prepared.check(request.info, request.options.face)
        whole = request.options.segment is None
        if whole and prepared.sha256 and prepared.sha256 != hashlib.sha256(video).hexdigest():
            raise SourceError(
                "The SOURCE was made from another video.",
                "Prepare this video: lipserve prepare VIDEO -o FILE.",
            )
        return prepared

    def _made(self, request: Request) -> Source:
        return look(
            [request.video], [], request.info, self._stage.leaves, request.options, needed=request.needed
        )
