"""The leaf models of an exported repository, run in this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_state

from lipserve.contracts import Framing, TierName, leaves_of
from lipserve.errors import SetupError
from lipserve.tiers import named
from lipserve_export.graphs import manifest, runtime
from lipserve_export.wav2lip.checkpoints import load_generator, read_framing, read_mel_offset
from lipserve_export.wav2lip.generator import wav2lip_generator

GENERATOR = "wav2lip_generator"
_NO_GRAPH = (onnxruntime_state.Fail, onnxruntime_state.InvalidArgument, onnxruntime_state.InvalidProtobuf)


class Leaves:
    """A `lipserve.leaves.Leaves` over the graphs that the tiers need.

    Args:
        repository: a model repository.
        tiers: whose leaves are needed; those that find faces belong to every tier.
        checkpoint: of a Wav2Lip generator that takes the place of the repository's.

    Attributes:
        weights: what each tier's own networks were made of, in words.
        mel_offset_ms: of the window that the generator hears; `framing`: of the crops that it knows.

    Raises:
        SetupError: a graph or a manifest is missing or damaged, or the checkpoint is no generator.
    """

    def __init__(self, repository: Path, tiers: Iterable[TierName], checkpoint: Path | None = None) -> None:
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self.weights: dict[TierName, str] = {}
        self.mel_offset_ms = 0.0
        self.framing: Framing = "similarity"
        for tier in tiers:
            for leaf in leaves_of(tier):
                if leaf.name not in self._sessions and not (checkpoint and leaf.name == GENERATOR):
                    self._sessions[leaf.name] = _session(repository, leaf.name, tier)
            own = [name for name in named(tier).generators if not (checkpoint and name == GENERATOR)]
            manifests = {name: manifest.read(repository, name) for name in own}
            self.weights[tier] = "; ".join(described.weights for described in manifests.values())
            if GENERATOR in manifests:
                self.mel_offset_ms = manifests[GENERATOR].mel_offset_ms
                self.framing = manifests[GENERATOR].framing or self.framing
        if checkpoint:
            self._take(checkpoint)

    def __call__(
        self, model: str, inputs: dict[str, NDArray[Any]], outputs: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        made = runtime.run(self._sessions[model], inputs)
        return {name: made[name] for name in outputs or made}

    def _take(self, checkpoint: Path) -> None:
        """Put a checkpoint's generator, as it would be exported, in the place of the repository's."""
        model, digest = load_generator(checkpoint)
        self._sessions[GENERATOR] = runtime.session(wav2lip_generator(model))
        self.mel_offset_ms, self.framing = read_mel_offset(checkpoint), read_framing(checkpoint)
        self.weights["wav2lip"] = f"{checkpoint.name}, sha256 {digest}"


def _session(repository: Path, model: str, tier: TierName) -> onnxruntime.InferenceSession:
    path = manifest.folder(repository, model) / manifest.FILES["fp32"]
    if not path.exists():
        raise SetupError(
            f"{repository} holds no {model}.", f"Export it: {named(tier).export} -o {repository}."
        )
    try:
        return runtime.session(path)  # the weights may lie in a file beside it
    except (OSError, *_NO_GRAPH) as error:
        raise SetupError(
            f"{path} cannot be loaded, or is damaged.",
            f"Export it again: {named(tier).export} -o {repository}.",
        ) from error
