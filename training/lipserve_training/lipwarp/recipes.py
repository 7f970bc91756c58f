"""The recipes of the motion and of the renderer; each term and each disturbance is one number."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from lipserve.contracts.lipwarp import SHAPES
from lipserve_training.train.recipe import Data, Positive, Recipe, Run, Table, Weight

Share = Annotated[float, Field(ge=0, le=1)]


class MotionRun(Run):
    """The course of the motion: `stretches` are drawn for each member and step, of `frames` each."""

    stretches: Positive = 16
    frames: Annotated[int, Field(gt=1, le=150)] = 75


class MotionNetwork(Table):
    """The share of the speech features that a member drops at random."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.45


class MotionLosses(Table):
    """Weights of the objective's terms; zero leaves a term out.

    Attributes:
        shape: squared error of the shapes, over each direction's own deviation.
        gap: squared error of how far the inner lips are apart, over its own deviation.
        velocity: the same as both of the change from frame to frame.
        phones: cross entropy of the phones, where the words are known; it needs alignments.
        directions: of each direction of a shape, in both errors.
    """

    shape: Weight = 1
    gap: Weight = 0
    velocity: Weight = 1
    phones: Weight = 0.3
    directions: tuple[Weight, ...] = (1, 0.6, 0.4, 0.4, 0.3, 0.3, 0.2, 0.2)

    @field_validator("directions")
    @classmethod
    def _one_for_each(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) != SHAPES:
            raise ValueError(f"a shape has {SHAPES} directions")
        return value


class Hearing(Table):
    """The number of passes over the speech of each clip, and its disturbance in all but the first pass.

    Attributes:
        variants: number of passes, each at another place in a block.
        loudest, quietest: limits of the gain, dB.
        noise: share of passes with noise, `snr` dB below the speech, from the first to the second number.
        tilt: share of passes with a tilted spectrum, by `tilt_db` at most.
        speeds: number of further passes at another speed, by `speed` (a logarithm) at most.
        sounds: number of sounds that are not speech; one in eight of them is kept for the judgement. A draw
            takes one of the others with the probability `quiet`.
    """

    variants: Positive = 6
    loudest: Annotated[float, Field(ge=-60, le=20)] = 6
    quietest: Annotated[float, Field(ge=-60, le=20)] = -20
    noise: Share = 0.6
    snr: tuple[float, float] = (8, 35)
    tilt: Share = 0.5
    tilt_db: Annotated[float, Field(ge=0, le=40)] = 12
    speeds: Annotated[int, Field(ge=0)] = 3
    speed: Annotated[float, Field(ge=0, le=0.25)] = 0.2
    sounds: Annotated[int, Field(ge=0)] = 160
    quiet: Annotated[float, Field(ge=0, lt=1)] = 0.2


class MotionRecipe(Recipe):
    """All settings of a run of the motion."""

    run: MotionRun
    network: MotionNetwork = MotionNetwork()
    losses: MotionLosses = MotionLosses()
    hearing: Hearing = Hearing()


class RendererRun(Run):
    """The course of the renderer: `pairs` of neighbouring frames are drawn for each step."""

    pairs: Positive = 16


class RendererData(Data):
    """The choice of people whose mouths are drawn.

    Attributes:
        favour: speakers who are drawn more (or less) often than their length asks for, and by how much.
    """

    favour: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(default_factory=dict)


class RendererLosses(Table):
    """Weights of the objective's terms; zero leaves a term out.

    Attributes:
        pixels, gradients: mean absolute difference of levels, of steps to the neighbours.
        texture: of the strength of fine detail (root mean square of the Laplacian in 5 x 5 pixels).
        temporal: of the change from a frame to the next: what flickers where the truth does not.
        perceptual: what a network sees (`evaluate.lpips`), on `perceptual_share` of the frames.
        lips, teeth: by how much the outer and the inner lips outweigh the rest in all of these.
        paint: of what is painted between the lips, whether it shows or not.
        smooth: roughness of the flows' corrections.
        paint_share, paint_outside: how much is painted, and how much of that outside of the inner lips.
        memory_lips, memory_outside: of remembered mouths outside of the inner lips, of all lips.
        mixing: shares that are neither nothing nor all: they blur.
    """

    pixels: Weight = 1
    gradients: Weight = 1
    texture: Weight = 1
    temporal: Weight = 0.5
    perceptual: Weight = 0.1
    perceptual_share: Share = 0.25
    lips: Weight = 3
    teeth: Weight = 4
    paint: Weight = 0.1
    smooth: Weight = 0.004
    paint_share: Weight = 0.01
    paint_outside: Weight = 0.05
    memory_lips: Weight = 0.01
    memory_outside: Weight = 0.05
    mixing: Weight = 0.12


class Disturbance(Table):
    """The variation of mouths, the same for a pair. With all values zero, the crop is as it is served.

    Attributes:
        rotation: degrees; scale, aspect, shear: relative; shift: pixels of the crop (deviations).
        mirror: share of pairs that are mirrored.
        gamma, contrast, colour, light: of the camera (deviations of logarithms; light is added).
        memory_light: light of each remembered mouth beside the rest.
        grey: share without colour. noise: share with noise, of `noise_levels` at most.
        shape: deviation of the shape by which remembered mouths are chosen.
        same: share of pairs whose current picture is the wanted one, as in service where nothing changes.
        few: share of pairs with less than all memories.
    """

    rotation: Weight = 5
    scale: Weight = 0.07
    aspect: Weight = 0.05
    shear: Weight = 0.04
    shift: Weight = 2.5
    mirror: Share = 0.5
    gamma: Weight = 0.25
    contrast: Weight = 0.2
    colour: Weight = 0.08
    light: Weight = 0.02
    memory_light: Weight = 0.015
    grey: Share = 0.08
    noise: Share = 0.3
    noise_levels: Weight = 5
    shape: Weight = 0.03
    same: Share = 0.15
    few: Share = 0.3


class RendererRecipe(Recipe):
    """All settings of a run of the renderer."""

    run: RendererRun
    data: RendererData = RendererData()
    losses: RendererLosses = RendererLosses()
    augment: Disturbance = Disturbance()
