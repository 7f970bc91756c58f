"""Whisper's states of clips, each in several augmentations, and of sounds that are no speech.

The encoder is frozen and costs more than all training, so it hears everything once, before. What is kept are
the principal directions of its states, which `LipMotion.heard` gives, in half precision.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipserve.audio.mel import mel_whisper
from lipserve.contracts.lipwarp import ROWS, STATE_WIDTH, STATES
from lipserve.lipwarp.shapes import Series
from lipserve_export.fetch import shipped
from lipserve_export.fetch.files import shipped_file
from lipserve_export.graphs.whisper import SpeechEncoder
from lipserve_export.lipwarp.motion_network import DIRECTIONS, LipMotion
from lipserve_training.data import store
from lipserve_training.lipwarp.disguise import BLOCK, ROWS_PER_FRAME, Samples, disguises
from lipserve_training.lipwarp.footage import Footage
from lipserve_training.lipwarp.recipes import Hearing
from lipserve_training.lipwarp.sounds import sound

LONGEST = 150  # frames of a clip that are heard in one block, so that they can lie anywhere in it ...
OVERLAP = 25  # ... and frames that such pieces of a longer clip share
JUDGED = 8  # one in so many sounds is kept from training
_FARTHEST = 6.0  # deviations, as in LipMotion
_BATCH = 4  # blocks that the encoder hears at once
_FIRST = "directions."  # in a file: what the first layers of LipMotion hold

Values = NDArray[np.float16]


@dataclass(frozen=True)
class Stretch:
    """A piece of a clip as it is heard once.

    Attributes:
        clip: its number.
        clean: whether it is heard as it is.
        places: float64 [n], the frame of the clip that is shown in each frame of the stretch.
        values: float16 [2 n, D], what is heard in each row.
    """

    clip: int
    clean: bool
    places: Series
    values: Values

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Heard:
    """All that is heard.

    Attributes:
        stretches: of the clips.
        sounds: float16 [N, 400, D], no speech.
        directions: the state dict of `LipMotion`'s first layers, which gave the values.
    """

    stretches: list[Stretch]
    sounds: Values
    directions: dict[str, Tensor]

    @property
    def judged(self) -> Values:
        """The sounds that are kept from training."""
        return self.sounds[: len(self.sounds) // JUDGED]

    @property
    def taught(self) -> Values:
        """The other ones."""
        return self.sounds[len(self.sounds) // JUDGED :]


def hear(
    clips: Sequence[Footage], trained: int, how: Hearing, seed: int, cache: Path, on_done: Callable[[], None]
) -> Heard:
    """Return what is heard in clips; where an earlier run left it in a folder, that is read.

    Args:
        trained: so many clips, from the first on, are what the principal directions are fitted on.
        on_done: called for every clip that is heard now.
    """
    path = cache / f"heard-{_digest(clips, trained, how, seed)}.npz"
    if not path.exists():
        store.save(path, _to_bytes(_hear(clips, trained, how, seed, on_done)))
    return _load(path)


def pieces(frames: int) -> list[tuple[int, int]]:
    """Return begin and end of the pieces that a clip is heard in."""
    step = LONGEST - OVERLAP
    return [(first, min(first + LONGEST, frames)) for first in range(0, max(1, frames - OVERLAP), step)]


def _hear(
    clips: Sequence[Footage], trained: int, how: Hearing, seed: int, on_done: Callable[[], None]
) -> Heard:
    encoder, _ = shipped.load(shipped_file("speech_encoder.safetensors"), SpeechEncoder())
    stretches = []
    for number, clip in enumerate(clips):
        rng = np.random.default_rng((seed, zlib.crc32(clip.entry.clip.encode())))
        for begin, end in pieces(len(clip)):
            given = list(disguises(clip.samples, begin, end, how, rng))
            states = _states(encoder, [disguise.block for disguise in given])
            for index, (disguise, state) in enumerate(zip(given, states, strict=True)):
                rows = state[disguise.row : disguise.row + ROWS_PER_FRAME * len(disguise.places)]
                stretches.append(Stretch(number, index == 0, disguise.places, rows))
        on_done()
    motion = LipMotion()
    _fit(motion, [stretch for stretch in stretches if stretch.clip < trained], clips)
    heard = [replace(stretch, values=_directions(motion, stretch.values)) for stretch in stretches]
    rng = np.random.default_rng((seed, len(clips)))
    sounds = [sound(number, BLOCK, rng) for number in range(how.sounds)]
    kept = {name: value for name, value in motion.state_dict().items() if not name.startswith("members")}
    states = _states(encoder, sounds) if sounds else np.zeros((0, ROWS, STATES * STATE_WIDTH), np.float16)
    return Heard(heard, _directions(motion, states), kept)


def _states(encoder: SpeechEncoder, blocks: Sequence[Samples]) -> Values:
    """Return states float16 [B, 400, STATES * 384] of blocks of 8 s."""
    return np.concatenate(list(_batches(encoder, blocks)))


def _batches(encoder: SpeechEncoder, blocks: Sequence[Samples]) -> Iterator[Values]:
    for first in range(0, len(blocks), _BATCH):
        mels = np.stack([mel_whisper(block) for block in blocks[first : first + _BATCH]])
        with torch.inference_mode():
            yield encoder(torch.from_numpy(mels)).numpy().astype(np.float16)


def _directions(motion: LipMotion, states: Values) -> Values:
    with torch.inference_mode():
        heard = motion.heard(torch.from_numpy(states.astype(np.float32)))
    return np.asarray(heard.numpy(), np.float16)


def _fit(motion: LipMotion, stretches: Sequence[Stretch], clips: Sequence[Footage]) -> None:
    """Set the first layers: states are standardised, and turned to their DIRECTIONS principal directions.

    Each direction is divided by the root of its deviation, so the strong ones stay the stronger. A speaker
    weighs as the root of the frames.
    """
    clean = np.concatenate([stretch.values for stretch in stretches if stretch.clean]).astype(np.float32)
    mean, scale = clean.mean(0), clean.std(0) + 1e-3

    def standard(values: NDArray[np.float16] | NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(((values - mean) / scale).clip(-_FARTHEST, _FARTHEST), np.float32)

    spoken: dict[str, int] = {}
    for stretch in stretches:
        speaker = clips[stretch.clip].entry.speaker
        spoken[speaker] = spoken.get(speaker, 0) + len(stretch)
    power = np.zeros((STATES * STATE_WIDTH,) * 2)
    for stretch in stretches:
        seen = standard(stretch.values)
        power += spoken[clips[stretch.clip].entry.speaker] ** -0.5 * (seen.T @ seen)
    turn = np.linalg.eigh(power)[1][:, ::-1][:, :DIRECTIONS].astype(np.float32)
    turned = standard(clean) @ turn
    deviation = turned.std(0) + 1e-6
    gain = (deviation / deviation[0]) ** 0.5 / deviation
    motion.mean.copy_(torch.from_numpy(mean))
    motion.scale.copy_(torch.from_numpy(scale))
    with torch.no_grad():
        motion.listen.weight.copy_(torch.from_numpy((turn * gain).T.copy()))
        motion.listen.bias.copy_(torch.from_numpy(-turned.mean(0) * gain))


def _digest(clips: Sequence[Footage], trained: int, how: Hearing, seed: int) -> str:
    names = [(clip.entry.clip, clip.entry.sha256, clip.entry.offset, len(clip)) for clip in clips]
    inputs = json.dumps([names, trained, how.model_dump(exclude={"quiet"}), seed, LONGEST, OVERLAP, JUDGED])
    weights = shipped_file("speech_encoder.safetensors").read_bytes()
    return hashlib.sha256(inputs.encode() + weights).hexdigest()[:8]


def _to_bytes(heard: Heard) -> bytes:
    buffer = io.BytesIO()
    stretches = np.array([(stretch.clip, stretch.clean, len(stretch)) for stretch in heard.stretches])
    values = np.concatenate([stretch.values for stretch in heard.stretches])
    places = np.concatenate([stretch.places for stretch in heard.stretches])
    first = {f"{_FIRST}{name}": value.numpy() for name, value in heard.directions.items()}
    np.savez(buffer, told=stretches, places=places, values=values, sounds=heard.sounds, **first)
    return buffer.getvalue()


def _load(path: Path) -> Heard:
    with np.load(path) as held:
        values, places, at = held["values"], held["places"], 0
        stretches = []
        for clip, clean, frames in held["told"].tolist():
            rows = values[ROWS_PER_FRAME * at : ROWS_PER_FRAME * (at + frames)]
            stretches.append(Stretch(clip, bool(clean), places[at : at + frames], rows))
            at += frames
        first = {
            name.removeprefix(_FIRST): torch.from_numpy(held[name])
            for name in held.files
            if name.startswith(_FIRST)
        }
        return Heard(stretches, held["sounds"], first)
