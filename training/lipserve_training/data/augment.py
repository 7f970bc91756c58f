"""Make little data go far: other shapes, colours and qualities of a face, other voices and rooms of a speech.

Whatever is done to a frame is done to its reference too, so that the one still tells about the other; the
reference gets a little more, as another moment would.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from lipserve.contracts import MEL_BINS, WAV2LIP_SIZE
from lipserve.wav2lip.windows import SILENCE
from lipserve_training.data.track import REGION

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mel = NDArray[np.float32]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

_SHOWN = WAV2LIP_SIZE * float(REGION)  # pixels of the generator's crop that a stored one is wide
_GRID = 5  # control points of the elastic warp, along each side


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Strength:
    """The strength of augmentation. With all values zero, the crop is as the server cuts it.

    Attributes:
        scale, aspect, shear: relative; rotation in degrees; shift and elastic in crop pixels (deviations).
        pose: the reference's own share of scale, rotation and shift.
        colour: of gain, gamma, saturation and light from one side.
        quality: share of samples that are blurred, and of those that are noisy.
        sharp: share of samples that are sharpened.
        spots: share of samples with spots, which can only be known from the reference.
        hide: share of references whose lips are smeared: theirs say nothing, the speech does.
        same: share of references that are the frame itself, as in service, its mouth and chin smeared.
        mirror: share of samples that are mirrored.
        mask: rows by which the blackened half begins early or late, at most.
        voice: of gain, colour, formants and noise floor of the mel.
    """

    scale: Amount = 0.06
    aspect: Amount = 0.04
    shear: Amount = 0.03
    rotation: Amount = 4.0
    shift: Amount = 1.5
    elastic: Amount = 1.0
    pose: Amount = 0.1
    colour: Amount = 1.0
    quality: Share = 0.3
    sharp: Share = 0.3
    spots: Share = 0.3
    hide: Share = 0.3
    same: Share = 0.25
    mirror: Share = 0.5
    mask: Annotated[int, Field(ge=0, le=WAV2LIP_SIZE // 2)] = 2
    voice: Amount = 1.0


NONE = Strength(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Warp:
    """One random shape of a face; `cut` gives crops of it."""

    def __init__(self, strength: Strength, rng: np.random.Generator) -> None:
        self._strength, self._rng = strength, rng
        self._mirror = rng.random() < strength.mirror
        self._matrix = self._affine(1.0)
        bumps = rng.normal(0, 1, (_GRID, _GRID, 2)).astype(np.float32) * strength.elastic
        size = (WAV2LIP_SIZE, WAV2LIP_SIZE)
        self._elastic = np.asarray(cv2.resize(bumps, size, interpolation=cv2.INTER_CUBIC), np.float32)

    def cut(self, stored: list[Image]) -> Image:
        """Return the crops uint8 [T, 96, 96, 3] of stored ones, all warped alike."""
        return self._remap(stored, self._matrix)

    def cut_reference(self, stored: Image) -> Image:
        """Return a crop uint8 [96, 96, 3], warped like the others and a little more."""
        pose = np.vstack([self._affine(self._strength.pose), [0, 0, 1]])
        (crop,) = self._remap([stored], (np.vstack([self._matrix, [0, 0, 1]]) @ pose)[:2])
        return np.asarray(crop)

    def _affine(self, part: float) -> NDArray[np.float64]:
        """Return a random map [2, 3] of the crop's pixels, counted from its centre."""
        s, rng = self._strength, self._rng
        angle = np.deg2rad(rng.normal(0, part * s.rotation))
        gain = np.exp(rng.normal(0, part * s.scale))
        stretch, slant = np.exp(rng.normal(0, part * s.aspect)), rng.normal(0, part * s.shear)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = gain * rotation @ np.array([[stretch, slant], [0, 1 / stretch]])
        return np.concatenate([linear, rng.normal(0, part * s.shift, (2, 1))], 1)

    def _remap(self, stored: list[Image], matrix: NDArray[np.float64]) -> Image:
        x, y = _centred()
        x, y = (-x if self._mirror else x) + self._elastic[..., 0], y + self._elastic[..., 1]
        size = len(stored[0])
        middle = np.float32((size - 1) / 2)
        linear = (matrix * (size / _SHOWN)).astype(np.float32)
        x_map, y_map = (row[0] * x + row[1] * y + (row[2] + middle) for row in linear)
        fixed, fraction = cv2.convertMaps(x_map, y_map, cv2.CV_16SC2)
        flags, border = cv2.INTER_LINEAR, cv2.BORDER_REFLECT_101
        crops = [cv2.remap(image, fixed, fraction, flags, borderMode=border) for image in stored]
        return np.stack(crops).astype(np.uint8, copy=False)


def recolour(images: Image, strength: Strength, rng: np.random.Generator) -> Floats:
    """Return images [T, 96, 96, 3] as float32 in 0..1, all under one other light and another camera."""
    frames = images.shape[0]
    tall = images.reshape(-1, WAV2LIP_SIZE, 3)  # one picture of all frames: a table is looked up once
    x = np.asarray(cv2.LUT(tall, _curve(strength.colour, rng)), np.float32)
    if strength.colour:
        x = np.asarray(cv2.transform(x, _saturation(strength.colour, rng)), np.float32)
        light = _light(rng, 0.15 * strength.colour)
        x = x.reshape(frames, WAV2LIP_SIZE, WAV2LIP_SIZE, 3) * light
    x = x.reshape(frames, WAV2LIP_SIZE, WAV2LIP_SIZE, 3)
    if rng.random() < strength.spots:
        x = x * _spots(rng)
    if rng.random() < strength.quality:
        blur = rng.uniform(0.3, 1.2)
        x = np.stack([cv2.GaussianBlur(image, (5, 5), blur) for image in x])
    elif rng.random() < strength.sharp:
        gain = np.float32(rng.uniform(0.2, 1.5))
        x = x + gain * (x - np.stack([cv2.GaussianBlur(image, (7, 7), 1.2) for image in x]))
    if rng.random() < strength.quality:
        x = x + np.float32(rng.uniform(0, 0.02)) * rng.standard_normal(x.shape, np.float32)
    return np.asarray(np.clip(x, 0, 1), np.float32)


def hide_lips(image: Floats) -> Floats:
    """Return a picture [96, 96, 3] with a smear where the lips are."""
    return _smeared(image, _ellipse(0.2, 0.2, 0.16))


def hide_mouth(image: Floats) -> Floats:
    """Return a picture [96, 96, 3] with a smear wherever speech moves a face: lips and chin."""
    return _smeared(image, _ellipse(0.28, 0.26, 0.27))


def _smeared(image: Floats, where: Floats) -> Floats:
    smear = np.asarray(cv2.GaussianBlur(image, (0, 0), 5), np.float32)
    return image + where * (smear - image)


@lru_cache
def _ellipse(below: float, width: float, height: float) -> Floats:
    """Return 0..1 [96, 96, 1]: an ellipse of these half axes below the centre, sides of the crop; soft."""
    x, y = (at / WAV2LIP_SIZE for at in _centred())
    radius = np.hypot(x / width, (y - below) / height)
    return np.asarray(np.clip((1.15 - radius) / 0.3, 0, 1)[..., None], np.float32)


def _spots(rng: np.random.Generator) -> Floats:
    """Return a gain [96, 96, 1] around 1: smooth noise, of fine or of broad grain."""
    noise = rng.standard_normal((WAV2LIP_SIZE, WAV2LIP_SIZE), np.float32)
    grain = np.asarray(cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.6, 4)), np.float32)
    return np.asarray(np.exp(np.float32(rng.uniform(0.02, 0.12)) / grain.std() * grain)[..., None])


def _curve(strength: float, rng: np.random.Generator) -> Floats:
    """Return a camera's answer to each of 256 levels, float32 [1, 256, 3]: gamma, gains, offset, contrast."""
    level = np.linspace(0, 1, 256)[None, :, None] ** np.exp(rng.normal(0, 0.2 * strength))
    level = level * np.exp(rng.normal(0, 0.12 * strength, 3)) + rng.normal(0, 0.04 * strength)
    return np.asarray((level - 0.5) * np.exp(rng.normal(0, 0.12 * strength)) + 0.5, np.float32)


def _saturation(strength: float, rng: np.random.Generator) -> Floats:
    """Return the matrix [3, 3] that moves colours to their grey or away from it."""
    gain = np.exp(rng.normal(0, 0.25 * strength))
    return np.asarray(gain * np.eye(3) + (1 - gain) / 3, np.float32)


@lru_cache
def _centred() -> tuple[Floats, Floats]:
    """Return x and y [96, 96] of the crop's pixels, counted from its centre."""
    at = np.arange(WAV2LIP_SIZE, dtype=np.float32) - (WAV2LIP_SIZE - 1) / 2
    x, y = np.meshgrid(at, at)
    return x, y


def _light(rng: np.random.Generator, strength: float) -> Floats:
    """Return a smooth gain [96, 96, 1] that rises from one side of the picture to the other."""
    across, down = rng.normal(0, 2 * strength / WAV2LIP_SIZE, 2)
    x, y = np.exp(across * _centred()[0][0]), np.exp(down * _centred()[1][:, 0])
    return np.asarray((y[:, None] * x)[..., None], np.float32)


def revoice(windows: Mel, strength: Strength, rng: np.random.Generator) -> Mel:
    """Return mel windows [T, 80, 16] of the same words by another voice, in another room, all alike."""
    s = strength.voice
    if not s:
        return windows
    bins = np.arange(MEL_BINS)
    at = bins * np.exp(rng.normal(0, 0.08 * s)) + rng.normal(0, 1.0 * s)  # a longer or shorter vocal tract
    low = np.clip(np.floor(at).astype(int), 0, MEL_BINS - 2)
    part = np.clip(at - low, 0, 1).astype(np.float32)[:, None]
    out = windows[:, low] * (1 - part) + windows[:, low + 1] * part
    room = np.interp(bins, np.linspace(0, MEL_BINS - 1, 6), rng.normal(0, 0.35 * s, 6))
    out = out + room.astype(np.float32)[:, None] + np.float32(rng.normal(0, 0.4 * s))
    if rng.random() < 0.5 * s:  # a noise floor, rough as noise is
        floor = rng.uniform(-4, -2) + rng.normal(0, 0.3, out.shape).astype(np.float32)
        out = np.maximum(out, floor)
    if rng.random() < 0.25 * s:  # a noise gate: pauses are digital silence
        out = np.where(out < rng.uniform(-3.5, -2), np.float32(SILENCE), out)
    return np.asarray(np.clip(out, -4, 4), np.float32)
