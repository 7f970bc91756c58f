"""Generate stage of `latentsync`: face crops and speech to dubbed face crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipserve.audio import whisper_peak
from lipserve.contracts.latentsync import WINDOW
from lipserve.errors import InputError, LimitError, OptionsError
from lipserve.latentsync import audio_features, masks, noise
from lipserve.latentsync.denoise import denoise
from lipserve.latentsync.schedulers import Step, schedule
from lipserve.latentsync.windows import Window, plan
from lipserve.leaves import Leaves
from lipserve.options import LatentSyncOptions, parse
from lipserve.segments import Span
from lipserve.tiers import LATENTSYNC
from lipserve_server.inside.limits import Limits
from lipserve_server.inside.metrics import Observer, SilentObserver
from lipserve_server.inside.stages.context import check_resolution
from lipserve_server.repository.manifest import read_form

Faces = NDArray[np.uint8]
Floats = NDArray[np.float32]


class LatentSyncGenerate:
    """Denoises the crops of each person in windows of 16 frames, one window at a time.

    A frame of a window that shows no face is seen as the nearest one that does, so that the network has 16
    faces to look at; nothing is produced for it.
    """

    def __init__(
        self,
        repository: Path,
        leaves: Leaves,
        observer: Observer | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._limits = limits or Limits.of()
        self._form = read_form(repository)
        self._leaves = leaves
        self._observer = observer or SilentObserver()

    def __call__(
        self,
        faces: Faces,
        audio: Floats,
        frames: NDArray[np.int32] | None = None,
        tracks: NDArray[np.int32] | None = None,
        options: bytes | None = None,
    ) -> dict[str, Faces]:
        """Return FACES, uint8 [N, S, S, 3] RGB; S is the resolution that the leaves were exported for.

        Args:
            faces: uint8 [N, S, S, 3] RGB, aligned as `lipserve.latentsync.geometry` does.
            audio: float32 [n], 16 kHz mono; its first sample is `first_sample` of the options. Features
                depend on whole blocks of 30 s, `lipserve.latentsync.audio_features.needed`.
            frames: int32 [N], the frame that each crop is of; 0, 1, 2 ... where None.
            tracks: int32 [N], whose face each crop shows; one person's where None.
            options: JSON of LatentSyncOptions.

        Raises:
            InputError: shapes that do not agree, speech that is empty or not finite, crops of more frames
                than one request may have or more steps than the server allows (LimitError), a resolution that
                is not held (OptionsError).
        """
        settings = parse(LatentSyncOptions, options)
        check_resolution(settings.resolution, self._form.resolution)
        self._limits.check_steps(settings.steps)
        order = np.arange(len(faces), dtype=np.int32) if frames is None else frames
        persons = np.zeros(len(faces), np.int32) if tracks is None else tracks
        _check(faces, audio, order, persons, self._form.resolution)
        if not len(faces):
            return {"FACES": faces.reshape(0, *_side(self._form.resolution))}
        span = _span(settings, order)
        windows = plan(order, persons, span.first, span.stop)
        stretch = Span(int(windows[0].frames[0]), int(windows[-1].frames[-1] + 1 - windows[0].frames[0]))
        speech = self._speech(settings, audio, stretch)
        steps = schedule(settings.scheduler, settings.steps)
        made = np.empty_like(faces)
        for window in windows:
            seen = speech[window.frames - stretch.first]
            made[window.kept[:, 1]] = self._window(settings, faces[window.rows], seen, window, steps)
        return {"FACES": made}

    def _speech(self, settings: LatentSyncOptions, audio: Floats, stretch: Span) -> Floats:
        """Return what each frame of `stretch` hears: float32 [F, 50, 384]."""
        end = settings.first_sample + len(audio)
        total = settings.total_samples or end
        if total < end:
            raise OptionsError(
                f"total_samples is {total}, but AUDIO reaches to sample {end}.",
                "Send the length of the whole speech at 16 kHz.",
            )
        return audio_features.features(
            self._leaves,
            audio,
            settings.first_sample,
            total,
            whisper_peak(audio) if settings.peak is None else settings.peak,
            stretch.first,
            stretch.stop,
            settings.fps,
            settings.sync_offset_ms,
            settings.reference,
        )

    def _window(
        self, settings: LatentSyncOptions, faces: Faces, speech: Floats, window: Window, steps: Sequence[Step]
    ) -> Faces:
        """Return the crops that a window is to produce, uint8 [K, S, S, 3].

        Args:
            faces, speech: uint8 [16, S, S, 3] and float32 [16, 50, 384], of the frames it sees.
        """
        resolution, grid = self._form.resolution, self._form.grid
        pixels = masks.pixels(faces)
        latents = denoise(
            self._leaves,
            _repeated(noise.initial(settings.seed, grid)),
            {
                "MASK": _repeated(masks.latent_mask(resolution)[None]),
                **self._encoded(settings.seed, pixels, window),
                "AUDIO": speech[None],
            },
            steps,
            settings.guidance,
            settings.deepcache,
            lambda _: self._observer.raise_if_cancelled(),
        )
        images = self._leaves("vae_decoder", {"LATENTS": _as_images(latents)})["IMAGES"]
        at = window.kept[:, 0]
        return masks.compose(images[at], pixels[at], resolution)

    def _encoded(self, seed: int, pixels: Floats, window: Window) -> dict[str, Floats]:
        """Return MASKED and REFERENCE, float32 [1, 4, 16, h, w]: both kinds of picture in one call."""
        grid = self._form.grid
        images = np.concatenate([masks.masked(pixels, self._form.resolution), pixels])
        draws = [noise.posterior(seed, window.frames, which, grid) for which in ("masked", "reference")]
        made = self._leaves(
            "vae_encoder", {"IMAGES": images, "NOISE": np.concatenate(draws)}, outputs=("LATENTS",)
        )["LATENTS"]
        return {"MASKED": _as_window(made[:WINDOW]), "REFERENCE": _as_window(made[WINDOW:])}


def _repeated(planes: Floats) -> Floats:
    """Return planes [C, h, w] as those of every frame of a window, [1, C, 16, h, w]."""
    return np.asarray(np.repeat(planes[None, :, None], WINDOW, axis=2))


def _as_window(images: Floats) -> Floats:
    """Return latents [16, 4, h, w] as [1, 4, 16, h, w]."""
    return np.asarray(images.transpose(1, 0, 2, 3)[None])


def _as_images(window: Floats) -> Floats:
    """Return latents [1, 4, 16, h, w] as [16, 4, h, w]."""
    return np.asarray(window[0].transpose(1, 0, 2, 3))


def _side(resolution: int) -> tuple[int, int, int]:
    return resolution, resolution, 3


def _span(settings: LatentSyncOptions, order: NDArray[np.int32]) -> Span:
    """Return the stretch of the clip that is windowed."""
    first = int(order.min()) // WINDOW * WINDOW if settings.first_frame is None else settings.first_frame
    frames = settings.frames or int(order.max()) + 1 - first
    if frames > LATENTSYNC.max_frames:
        raise LimitError(
            f"The crops span {frames} frames; one request makes at most {LATENTSYNC.max_frames}.",
            f"Send fewer frames, in whole windows of {WINDOW}.",
        )
    return Span(first, frames)


def _check(
    faces: Faces,
    audio: Floats,
    frames: NDArray[np.int32],
    tracks: NDArray[np.int32],
    resolution: int,
) -> None:
    side = _side(resolution)
    if len(faces) and faces.shape[1:] != side:
        raise InputError(
            f"FACES has the shape {list(faces.shape)}.", f"Send [N, {', '.join(map(str, side))}] uint8."
        )
    for name, values in (("FRAMES", frames), ("TRACKS", tracks)):
        if values.shape != (len(faces),) or (len(values) and values.min() < 0):
            raise InputError(
                f"{name} has the shape {list(values.shape)}.", "Send one number >= 0 for each face."
            )
    if not audio.size or not np.isfinite(audio).all():
        raise InputError(
            "AUDIO is empty, or contains values that are not finite.",
            "Send 16 kHz mono float32 samples in -1..1.",
        )
