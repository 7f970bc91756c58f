"""The tensors between the stages, and the stages and ensembles that both tiers have alike."""

from __future__ import annotations

from lipserve.contracts.spec import Model, Step, Tensor, same

VIDEO = Tensor("VIDEO", "BYTES", (1,))  # a container file
AUDIO = Tensor("AUDIO", "BYTES", (1,))  # any audio file
OPTIONS = Tensor("OPTIONS", "BYTES", (1,), optional=True)  # JSON, lipserve.options.Options
FACES = Tensor("FACES", "UINT8", (-1, -1, -1, 3))  # [N, S, S, 3] RGB
SPEECH = Tensor("AUDIO", "FP32", (-1,))  # 16 kHz mono, of a generate stage
RESULT = Tensor("RESULT", "BYTES", (1,))  # MP4
REPORT = Tensor("REPORT", "BYTES", (1,))  # JSON, lipserve.report.Report

_PLACES = (
    Tensor("TRANSFORMS", "FP32", (-1, 2, 3)),  # source pixel -> crop pixel
    Tensor("WEIGHTS", "FP32", (-1,)),  # 0..1, how much of the crop is pasted
    Tensor("FRAMES", "INT32", (-1,)),  # output frame of each crop, counted from the clip's first
)
_TRACKS = Tensor("TRACKS", "INT32", (-1,))  # whose face each crop shows
_PLAN = Tensor("PLAN", "BYTES", (1,))  # JSON, lipserve_server.stages.plan.Plan
_PLACE_NAMES = tuple(tensor.name for tensor in _PLACES)


def preprocess(name: str) -> Model:
    """Return the first stage of a tier: it cuts the crops that the tier's generator wants."""
    return Model(
        name=name,
        kind="stage",
        inputs=(VIDEO, AUDIO, OPTIONS),
        outputs=(
            FACES,
            *_PLACES,
            _TRACKS,
            Tensor("SPEECH", "FP32", (-1,)),  # 16 kHz mono
            Tensor("GENERATE_OPTIONS", "BYTES", (1,)),  # JSON, the generate stage's options
            _PLAN,
        ),
        instances=4,
        embedded_instances=2,
    )


POSTPROCESS = Model(
    name="postprocess",
    kind="stage",
    inputs=(VIDEO, AUDIO, FACES, *_PLACES, _PLAN),
    outputs=(RESULT, REPORT),
    instances=8,
    embedded_instances=2,
)


def generate(name: str, tracks: bool, instances: int) -> Model:
    """Return a tier's generate stage.

    Args:
        tracks: whether the generator sees several frames at once, and so must know whose face each crop is.
    """
    who = (Tensor("TRACKS", "INT32", (-1,), optional=True),) if tracks else ()  # default: one person's
    frames = Tensor("FRAMES", "INT32", (-1,), optional=True)  # default 0, 1, 2, ...
    return Model(
        name=name,
        kind="stage",
        inputs=(FACES, SPEECH, frames, *who, OPTIONS),  # JSON of the tier's own options
        outputs=(FACES,),
        instances=instances,
        embedded_instances=2,
    )


def ensemble(name: str, first: Model, second: Model) -> Model:
    """Return a tier's ensemble: `first` (preprocess), `second` (generate), postprocess."""
    tracks = same("TRACKS") if any(tensor.name == "TRACKS" for tensor in second.inputs) else {}
    return Model(
        name=name,
        kind="ensemble",
        inputs=(VIDEO, AUDIO, OPTIONS),
        outputs=(RESULT, REPORT),
        steps=(
            Step(
                model=first.name,
                inputs=same("VIDEO", "AUDIO", "OPTIONS"),
                outputs=same("FACES", *_PLACE_NAMES, *tracks, "SPEECH", "GENERATE_OPTIONS", "PLAN"),
            ),
            Step(
                model=second.name,
                inputs={
                    **same("FACES", "FRAMES"),
                    **tracks,
                    "AUDIO": "SPEECH",
                    "OPTIONS": "GENERATE_OPTIONS",
                },
                outputs={"FACES": "GENERATED_FACES"},
            ),
            Step(
                model=POSTPROCESS.name,
                inputs={**same("VIDEO", "AUDIO", *_PLACE_NAMES, "PLAN"), "FACES": "GENERATED_FACES"},
                outputs=same("RESULT", "REPORT"),
            ),
        ),
    )
