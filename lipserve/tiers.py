"""The tiers, one object each: everything in which they differ is defined only here.

What works on pictures and sound is imported by the functions that call it, so that a program which only
reads options, a gateway or a command, does not hold OpenCV and FFmpeg in its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from lipserve.contracts import PIPELINES, Form, Framing, Landmarks, Pipeline, TierName, of_tier
from lipserve.contracts.latentsync import WINDOW
from lipserve.errors import OptionsError
from lipserve.options import GenerateOptions, LatentSyncOptions, LipwarpOptions, Options
from lipserve.segments import SegmentLength, Span
from lipserve.wav2lip import windows

if TYPE_CHECKING:
    from lipserve.geometry import Geometry
    from lipserve.tracking import Tracker


@dataclass(frozen=True)
class CropForm:
    """The properties of face crops that depend on the exported weights. A tier uses those that concern it.

    Attributes:
        resolution: pixels, side of the quality tier's crops.
        framing: of the tier wav2lip's crops.
        landmarks: what the quality tier aligns faces by.
    """

    resolution: int = Form().resolution
    framing: Framing = "similarity"
    landmarks: Landmarks = "mesh"


def _mesh_tracker(_: CropForm) -> type[Tracker]:
    from lipserve.tracking import Tracker

    return Tracker


@dataclass(frozen=True)
class Tier:
    """Properties of a tier. Its models are in `lipserve.contracts`, under the same name.

    Attributes:
        geometry: function that returns the geometry of a form of face crops; `tracker`: function that returns
            the tracker for it.
        segment: longest segment that the client makes.
        speech_span: function of a span of frames, the frame rate, the number of samples of the speech, and
            the options. It returns the samples at 16 kHz that these frames depend on; the first is a multiple
            of 200.
        speech_around: seconds of speech that a request may bring beyond its frames.
        max_frames: output frames of one request; bounds its memory and its time.
        whole_speech: whether a segment gets the length and the peak of the whole speech.
        options: type of the options of the generate stage.
        generators: leaves whose manifests name the weights that make the picture.
        noise: warning of a report if these weights are random.
        export: command that exports the leaves; `exports_faces`: whether it also exports the
            face models.
        trained: source of trained weights, for the demo.
        least: request options for the least work, for canaries; `quick`: request options for a test by hand.
    """

    name: TierName
    geometry: Callable[[CropForm], Geometry]
    segment: SegmentLength
    speech_span: Callable[[Span, Fraction, int, Options], Span]
    speech_around: float
    max_frames: int
    whole_speech: bool
    options: type[GenerateOptions]
    generators: tuple[str, ...]
    noise: str
    export: str
    exports_faces: bool
    trained: str
    least: Mapping[str, Any] = field(default_factory=dict)
    quick: Mapping[str, Any] = field(default_factory=dict)
    tracker: Callable[[CropForm], type[Tracker]] = _mesh_tracker

    @property
    def pipeline(self) -> Pipeline:
        return PIPELINES[self.name]

    @property
    def paints(self) -> bool:
        """Whether the generate stage turns face crops into face crops, for callers that have crops."""
        return any(tensor.name == "FACES" for tensor in self.pipeline.generate.outputs)

    @property
    def prepares(self) -> bool:
        """Whether its requests may carry a SOURCE, so that every segment of a clip knows the same people."""
        return any(tensor.name == "SOURCE" for tensor in self.pipeline.ensemble.inputs)

    @property
    def has_forms(self) -> bool:
        """Whether its leaves exist in several shapes, so that a server must be asked for its own."""
        return of_tier(self.name, Form(channels=1)) != of_tier(self.name)

    @property
    def own_options(self) -> frozenset[str]:
        """The request options that only its generate stage knows."""
        own = self.options.model_fields.keys() - GenerateOptions.model_fields.keys()
        return frozenset(own & Options.model_fields.keys())

    def check(self, options: Options) -> Options:
        """Return the options of a request, or raise OptionsError where they mean nothing to this tier."""
        options.check_face()
        every = frozenset[str]().union(*(tier.own_options for tier in TIERS.values()))
        extra = options.model_fields_set & (every - self.own_options)
        if extra:
            others = [tier.name for tier in TIERS.values() if extra <= tier.own_options]
            raise OptionsError(
                f"{', '.join(sorted(extra))} cannot be used in the tier {self.name}.",
                f"Leave them out{f', or use the tier {others[0]}' if others else ''}.",
            )
        return options


def _mouth(_: CropForm) -> Geometry:
    from lipserve.lipwarp.geometry import Mouth

    return Mouth()


def _lipwarp_span(span: Span, fps: Fraction, samples: int, options: Options) -> Span:
    from lipserve.lipwarp import speech

    return speech.needed(span, fps, samples, options.sync_offset_ms)


LIPWARP = Tier(
    name="lipwarp",
    geometry=_mouth,
    segment=SegmentLength(seconds=10.0),
    speech_span=_lipwarp_span,
    speech_around=20.0,  # blocks of 8 s
    max_frames=3000,
    whole_speech=True,
    options=LipwarpOptions,
    generators=("lip_renderer", "lip_motion", "speech_encoder"),
    noise="The networks have random weights: lips and speech have nothing to do with each other.",
    export="lipserve export all",
    exports_faces=True,
    trained="Export the weights that come with LipServe: lipserve export lipwarp",
)


def _wav2lip_crop(form: CropForm) -> Geometry:
    from lipserve.wav2lip.framing import GEOMETRIES

    return GEOMETRIES[form.framing]


def _wav2lip_span(span: Span, fps: Fraction, samples: int, options: Options) -> Span:
    return windows.needed(span, fps, samples, options.sync_offset_ms)


WAV2LIP = Tier(
    name="wav2lip",
    geometry=_wav2lip_crop,
    segment=SegmentLength(seconds=10.0),
    speech_span=_wav2lip_span,
    speech_around=windows.MARGIN + 1,
    max_frames=3000,
    whole_speech=False,
    options=GenerateOptions,
    generators=("wav2lip_generator",),
    noise="The generator has random weights: the mouth is noise.",
    export="lipserve export all",
    exports_faces=True,
    trained="Give trained weights: make demo WEIGHTS=checkpoint.pth",
)


def _reference_crop(form: CropForm) -> Geometry:
    from lipserve.latentsync.geometry import Reference

    return Reference(form.resolution, form.landmarks)


def _reference_tracker(form: CropForm) -> type[Tracker]:
    from lipserve.latentsync.landmarks import ReferenceTracker

    return ReferenceTracker if form.landmarks == "106" else _mesh_tracker(form)


def _latentsync_span(span: Span, fps: Fraction, samples: int, options: Options) -> Span:
    from lipserve.latentsync import audio_features

    offset = options.sync_offset_ms
    return audio_features.needed(span.first, span.stop, fps, offset, samples, options.reference)


LATENTSYNC = Tier(
    name="latentsync",
    geometry=_reference_crop,
    tracker=_reference_tracker,
    segment=SegmentLength(frames=4 * WINDOW, full_window=True),  # a window takes seconds on a GPU
    speech_span=_latentsync_span,
    speech_around=62.0,  # Whisper hears blocks of 30 s
    max_frames=20 * WINDOW,  # its crops are large
    whole_speech=True,
    options=LatentSyncOptions,
    generators=("denoise_step", "vae_decoder", "whisper_encoder"),
    noise="The networks have random weights: the generated part of the face is noise.",
    export="lipserve export latentsync",
    exports_faces=False,
    trained="Trained weights are for a server with a GPU: docs/export.md.",
    least={"steps": 1},
    quick={"steps": 2},  # of diffusion: the way is the same as with twenty
)

TIERS: dict[TierName, Tier] = {tier.name: tier for tier in (LIPWARP, WAV2LIP, LATENTSYNC)}
DEFAULT_PAINTER: TierName = next(tier.name for tier in TIERS.values() if tier.paints)


def named(name: TierName) -> Tier:
    """Return the tier of that name, or raise OptionsError where there is none."""
    if name not in TIERS:
        raise OptionsError(f"There is no tier {name!r}.", f"Use one of: {', '.join(TIERS)}.")
    return TIERS[name]
