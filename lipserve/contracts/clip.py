"""The tensors of a request, and the pipeline of the tiers that paint face crops: cut, generate, paste."""

from __future__ import annotations

from collections.abc import Callable

from lipserve.contracts.form import Form
from lipserve.contracts.pipeline import Node, Pipeline, ensemble
from lipserve.contracts.spec import Model, Tensor, TierName

VIDEO = Tensor("VIDEO", "BYTES", (1,))  # a container file
AUDIO = Tensor("AUDIO", "BYTES", (1,))  # any audio file
OPTIONS = Tensor("OPTIONS", "BYTES", (1,), optional=True)  # JSON, lipserve.options.Options
FACES = Tensor("FACES", "UINT8", (-1, -1, -1, 3))  # [N, S, S, 3] RGB
SPEECH = Tensor("AUDIO", "FP32", (-1,))  # 16 kHz mono, of a generate stage
RESULT = Tensor("RESULT", "BYTES", (1,))  # MP4
REPORT = Tensor("REPORT", "BYTES", (1,))  # JSON, lipserve.report.Report

PLACES = (
    Tensor("TRANSFORMS", "FP32", (-1, 2, 3)),  # source pixel -> crop pixel
    Tensor("WEIGHTS", "FP32", (-1,)),  # 0..1, how much of the crop is pasted
    Tensor("FRAMES", "INT32", (-1,)),  # output frame of each crop, counted from the clip's first
)
TRACKS = Tensor("TRACKS", "INT32", (-1,))  # whose face each crop shows
CONTEXT = Tensor("CONTEXT", "BYTES", (1,))  # JSON, lipserve_server.inside.stages.context.Plan


def _preprocess(tier: TierName) -> Model:
    """Return the first stage: it cuts the crops that the tier's generator wants."""
    return Model(
        name=f"{tier}_preprocess",
        kind="stage",
        inputs=(VIDEO, AUDIO, OPTIONS),
        outputs=(
            FACES,
            *PLACES,
            TRACKS,
            Tensor("SPEECH", "FP32", (-1,)),  # 16 kHz mono
            Tensor("GENERATE_OPTIONS", "BYTES", (1,)),  # JSON, the generate stage's options
            CONTEXT,
        ),
        instances=4,
        embedded_instances=2,
    )


POSTPROCESS = Model(
    name="postprocess",
    kind="stage",
    inputs=(VIDEO, AUDIO, FACES, *PLACES, CONTEXT),
    outputs=(RESULT, REPORT),
    instances=8,
    embedded_instances=2,
)


def _generate(tier: TierName, tracks: bool) -> Model:
    """Return the stage that makes crops of crops; `tracks` as for `painting`."""
    who = (Tensor("TRACKS", "INT32", (-1,), optional=True),) if tracks else ()  # default: one person's
    frames = Tensor("FRAMES", "INT32", (-1,), optional=True)  # default 0, 1, 2, ...
    return Model(
        name=f"{tier}_generate",
        kind="stage",
        inputs=(FACES, SPEECH, frames, *who, OPTIONS),  # JSON of the tier's own options
        outputs=(FACES,),
        instances=4,
        embedded_instances=2,
    )


def painting(tier: TierName, leaves: Callable[[Form], tuple[Model, ...]], *, tracks: bool) -> Pipeline:
    """Return the pipeline of a tier whose generator makes face crops of face crops.

    Args:
        leaves: as `Pipeline.leaves`.
        tracks: whether the generator sees several frames at once, and so must know whose face each crop is.
    """
    first, second = _preprocess(tier), _generate(tier, tracks)
    nodes = (
        Node(first),
        Node(second, {"AUDIO": "SPEECH", "OPTIONS": "GENERATE_OPTIONS"}, {"FACES": "GENERATED_FACES"}),
        Node(POSTPROCESS, {"FACES": "GENERATED_FACES"}),
    )
    return Pipeline(
        tier,
        leaves,
        stages=(first, second, POSTPROCESS),
        generate=second,
        ensemble=ensemble(tier, (VIDEO, AUDIO, OPTIONS), (RESULT, REPORT), nodes),
    )
