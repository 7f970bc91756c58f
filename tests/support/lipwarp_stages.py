"""The stages of the tier lipwarp in this process, one after another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lipserve.lipwarp.render import Mouths
from lipserve.tiers import LIPWARP
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.lipwarp_generate import LipwarpGenerate
from lipserve_server.inside.stages.lipwarp_postprocess import LipwarpPostprocess
from lipserve_server.inside.stages.lipwarp_prepare import LipwarpPrepare
from lipserve_server.inside.stages.lipwarp_preprocess import LipwarpPreprocess
from lipserve_server.inside.stages.preprocess import Preprocess

Rows = dict[str, Any]


class Stages:
    """The three stages and the one before them."""

    def __init__(self, repository: Path) -> None:
        self.leaves = OnnxLeaves(repository)
        self.prepare = LipwarpPrepare(self.leaves)
        self.preprocess = LipwarpPreprocess(Preprocess(LIPWARP, self.leaves, hears=True))
        self._generate = LipwarpGenerate(self.leaves)
        self._postprocess = LipwarpPostprocess(repository, self.leaves)

    def generate(self, rows: Rows) -> Rows:
        mouths = Mouths(*(rows[name] for name in ("FACES", "POINTS", "SHAPES", "POSES")))
        names = ("SPEECH", "FRAMES", "TRACKS", "PREPARED", "GENERATE_OPTIONS")
        return self._generate(mouths, *(rows[name] for name in names))

    def postprocess(self, video: bytes, sound: bytes, rows: Rows, motion: Rows) -> dict[str, bytes]:
        names = ("TRANSFORMS", "WEIGHTS", "FRAMES", "PREPARED", "CONTEXT")
        given = {**motion, "TRACKS": rows["TRACKS"]}
        return self._postprocess(video, sound, given, *(rows[name] for name in names))

    def __call__(
        self, video: bytes, sound: bytes, source: bytes | None = None, **options: Any
    ) -> tuple[Rows, Rows, dict[str, bytes]]:
        rows = self.preprocess(video, sound, json.dumps(options).encode(), source)
        motion = self.generate(rows)
        return rows, motion, self.postprocess(video, sound, rows, motion)
