"""The stages of the tier wav2lip in this process, one after another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lipserve.tiers import WAV2LIP
from lipserve_server.inside.leaves import OnnxLeaves
from lipserve_server.inside.stages.postprocess import Postprocess
from lipserve_server.inside.stages.preprocess import Preprocess
from lipserve_server.inside.stages.wav2lip_generate import Wav2LipGenerate

Rows = dict[str, Any]


class Wav2LipStages:
    """The three stages.

    Args:
        hears: of `Preprocess`.
    """

    def __init__(self, repository: Path, hears: bool = False) -> None:
        leaves = OnnxLeaves(repository)
        self.preprocess = Preprocess(WAV2LIP, leaves, hears=hears)
        self._generate = Wav2LipGenerate(repository, leaves)
        self._postprocess = Postprocess(repository, leaves)

    def generate(self, rows: Rows) -> Rows:
        return self._generate(*(rows[name] for name in ("FACES", "SPEECH", "FRAMES", "GENERATE_OPTIONS")))

    def postprocess(self, video: bytes, sound: bytes, rows: Rows, made: Rows) -> dict[str, bytes]:
        names = ("TRANSFORMS", "WEIGHTS", "FRAMES", "CONTEXT")
        return self._postprocess(video, sound, made["FACES"], *(rows[name] for name in names))

    def __call__(self, video: bytes, sound: bytes, **options: Any) -> dict[str, bytes]:
        rows = self.preprocess(video, sound, json.dumps(options).encode())
        return self.postprocess(video, sound, rows, self.generate(rows))
