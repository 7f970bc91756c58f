"""The inputs of a run, each told by its number alone: a seed, what is done to it, and how it is sent."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from stress import seeds
from stress.mutators import MUTATORS

_LEAST = 16  # bytes that a mutator is given

Role = Literal["video", "speech"]


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Attributes:
        name: number, seed and mutators.
        role: what the file is sent as.
        raw: whether it goes to the server as it is, without the client's own checks.
    """

    name: str
    role: Role
    raw: bool
    data: bytes

    @property
    def files(self) -> tuple[bytes, bytes]:
        """The video and the speech that are sent: the other one is good."""
        video, speech = seeds.good()
        return (self.data, speech) if self.role == "video" else (video, self.data)


def case(number: int) -> Case:
    """Return the case of a number; the same one at every call."""
    random = Random(number)
    role: Role = "video" if random.random() < 0.65 else "speech"
    files = seeds.videos() if role == "video" else seeds.speeches()
    name = random.choice(list(files))
    data, done = files[name], []
    for mutate in random.choices(MUTATORS, k=random.choice((1, 1, 1, 2, 3))):
        data = mutate(data.ljust(_LEAST, b"\0"), random)
        done.append(mutate.__name__)
    return Case(
        f"{number}-{role}-{name.replace('/', '_')}-{'-'.join(done)}", role, random.random() < 0.5, data
    )
