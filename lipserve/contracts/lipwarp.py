"""Contracts of the tier lipwarp, which moves the source's own pixels.

SOURCE says what is known of the video's people (`lipserve.lipwarp.source`): it is made once, by
`lipwarp_prepare` or, where a request brings none, by `lipwarp_preprocess`.
"""

from __future__ import annotations

from lipserve.contracts.clip import AUDIO, CONTEXT, OPTIONS, PLACES, REPORT, RESULT, SPEECH, TRACKS, VIDEO
from lipserve.contracts.pipeline import Node, Pipeline, ensemble
from lipserve.contracts.spec import MEL_BINS, Model, Tensor

MOUTH_SIZE = 96  # pixels, side of a mouth crop
FLOW_SIZE = 48  # side of the grid that flows are given on
PAINT_SIZE = 48  # pixels, side of what is painted
SHAPES = 8  # numbers in a lip shape
MOVED_POINTS = 133  # of the mesh, that speech moves

ROWS = 400  # rows of Whisper's encoder that are heard together: 8 s
STATE_WIDTH = 384  # numbers in one of its states ...
STATES = 2  # ... and how many of them the lips are read from: those after the first blocks

SPEECH_ENCODER = Model(
    name="speech_encoder",
    kind="leaf",
    inputs=(Tensor("MEL", "FP32", (MEL_BINS, 2 * ROWS)),),  # Whisper's log-mel
    outputs=(Tensor("STATES", "FP32", (ROWS, STATES * STATE_WIDTH)),),
    max_batch_size=16,
    max_queue_delay_us=500,
)

LIP_MOTION = Model(
    name="lip_motion",
    kind="leaf",
    inputs=(Tensor("STATES", "FP32", (ROWS, STATES * STATE_WIDTH)),),
    outputs=(Tensor("SHAPES", "FP32", (ROWS, SHAPES)),),  # of a person whose mouth opens by one
    max_batch_size=16,
    max_queue_delay_us=500,
)

LIP_RENDERER = Model(
    name="lip_renderer",
    kind="leaf",
    inputs=(
        Tensor("CURRENT", "UINT8", (MOUTH_SIZE, MOUTH_SIZE, 3)),  # RGB, moved by its flow
        Tensor("MEMORY", "UINT8", (MOUTH_SIZE, MOUTH_SIZE, 3)),  # RGB, the remembered mouths, moved and mixed
        Tensor("LIPS", "UINT8", (MOUTH_SIZE, MOUTH_SIZE, 2)),  # inside the inner and the outer contour
    ),
    outputs=(
        Tensor("FLOW", "FP32", (FLOW_SIZE, FLOW_SIZE, 4)),  # to add: of the current picture, of the memory
        Tensor("BLEND", "UINT8", (MOUTH_SIZE, MOUTH_SIZE, 2)),  # shares of the memory, and of paint over all
        Tensor("PAINT", "UINT8", (PAINT_SIZE, PAINT_SIZE, 3)),  # RGB
    ),
    max_batch_size=64,
    max_queue_delay_us=500,
    embedded_instances=2,
)

_SOURCE = Tensor("SOURCE", "BYTES", (1,))
_MOUTHS = (
    Tensor("FACES", "UINT8", (-1, MOUTH_SIZE, MOUTH_SIZE, 3)),  # RGB, mouth crops
    Tensor("POINTS", "FP32", (-1, MOVED_POINTS, 2)),  # pixels of the crop
    Tensor("SHAPES", "FP32", (-1, SHAPES)),  # that the mouth has in the source
    Tensor("POSES", "FP32", (-1, 2, 3)),  # the front's eye distances -> pixels of the crop
)
_MOTION = (
    Tensor("FLOW", "FP16", (-1, 3, FLOW_SIZE, FLOW_SIZE, 2)),  # of the picture, of two remembered mouths
    Tensor("BLEND", "UINT8", (-1, MOUTH_SIZE, MOUTH_SIZE, 2)),
    Tensor("PAINT", "UINT8", (-1, PAINT_SIZE, PAINT_SIZE, 3)),
    Tensor("MEMORIES", "INT32", (-1, 2)),  # which remembered mouths
    Tensor("SHARES", "FP32", (-1, 2)),  # of each of them
    Tensor("OFFSETS", "FP32", (-1, 3)),  # RGB, what their colours lack
    Tensor("ASKED", "FP32", (-1, 4)),  # lip measures that the speech asks for, by which the result is judged
    Tensor("QUIET", "UINT8", (-1,)),  # 1: the speech is silent there
)
_FRAMES = next(tensor for tensor in PLACES if tensor.name == "FRAMES")

LIPWARP_PREPARE = Model(
    name="lipwarp_prepare",
    kind="stage",
    inputs=(
        Tensor("VIDEO", "BYTES", (-1,)),  # files that hold the stretches, one for each
        OPTIONS,  # JSON, lipserve.options.PrepareOptions
    ),
    outputs=(_SOURCE,),
    instances=2,
    embedded_instances=1,
)

LIPWARP_CHECK = Model(
    name="lipwarp_check",
    kind="stage",
    inputs=(
        VIDEO,  # a file that holds the frames that are measured
        Tensor("AUDIO", "BYTES", (1,), optional=True),  # the speech, or the stretch that these frames need
        OPTIONS,  # JSON, lipserve.options.CheckOptions
    ),
    outputs=(Tensor("MEASURES", "BYTES", (1,)),),  # JSON, lipserve.quality.measures.Measures
    instances=2,
    embedded_instances=1,
)

LIPWARP_PREPROCESS = Model(
    name="lipwarp_preprocess",
    kind="stage",
    inputs=(VIDEO, AUDIO, OPTIONS, Tensor("SOURCE", "BYTES", (1,), optional=True)),
    outputs=(
        *_MOUTHS,
        *PLACES,
        TRACKS,
        Tensor("SPEECH", "FP32", (-1,)),  # 16 kHz mono
        Tensor("PREPARED", "BYTES", (1,)),  # the SOURCE that is used
        Tensor("GENERATE_OPTIONS", "BYTES", (1,)),  # JSON, lipserve.options.LipwarpOptions
        CONTEXT,
    ),
    instances=4,
    embedded_instances=2,
)

LIPWARP_GENERATE = Model(
    name="lipwarp_generate",
    kind="stage",
    inputs=(*_MOUTHS, SPEECH, _FRAMES, TRACKS, _SOURCE, OPTIONS),
    outputs=_MOTION,
    instances=4,
    embedded_instances=2,
)

LIPWARP_POSTPROCESS = Model(
    name="lipwarp_postprocess",
    kind="stage",
    inputs=(VIDEO, AUDIO, *_MOTION, *PLACES, TRACKS, _SOURCE, CONTEXT),
    outputs=(RESULT, REPORT),
    instances=8,
    embedded_instances=2,
)

_USED = {"SOURCE": "PREPARED"}

LIPWARP = Pipeline(
    "lipwarp",
    lambda _: (SPEECH_ENCODER, LIP_MOTION, LIP_RENDERER),
    stages=(LIPWARP_PREPROCESS, LIPWARP_GENERATE, LIPWARP_POSTPROCESS, LIPWARP_PREPARE, LIPWARP_CHECK),
    generate=LIPWARP_GENERATE,
    ensemble=ensemble(
        "lipwarp",
        (VIDEO, AUDIO, OPTIONS, Tensor("SOURCE", "BYTES", (1,), optional=True)),
        (RESULT, REPORT),
        (
            Node(LIPWARP_PREPROCESS),
            Node(LIPWARP_GENERATE, {**_USED, "AUDIO": "SPEECH", "OPTIONS": "GENERATE_OPTIONS"}),
            Node(LIPWARP_POSTPROCESS, _USED),
        ),
    ),
)
