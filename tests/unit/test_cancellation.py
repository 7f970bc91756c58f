"""Work that nobody waits for ends from within."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lipserve import audio, cancellation
from lipserve.cancellation import cancellable, look
from lipserve.errors import CancelledError
from lipserve.media.decode import read
from lipserve.media.index import scan
from lipserve.media.probe import probe
from tests.unit.lipwarp.films import film

Work = Callable[[], object]


class _Impatient:
    """A caller who leaves when asked for the second time."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if self.asked > 1:
            raise CancelledError("The caller gave up.")


def _works() -> dict[str, Work]:
    video = film([np.full((48, 64, 3), 3 * number, np.uint8) for number in range(40)])
    speech = audio.wav(np.zeros(160_000, np.float32))
    info = probe(video)
    return {
        "scanning": lambda: scan(video),
        "probing": lambda: probe(video),
        "decoding": lambda: list(read(video, info, threads=1)),
        "decoding ahead": lambda: next(read(video, info, info.frames - 1, 1, threads=1)),
        "reading sound": lambda: audio.load(speech),
    }


@pytest.mark.parametrize("name", ["scanning", "probing", "decoding", "decoding ahead", "reading sound"])
def test_work_ends_where_its_caller_has_left(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work = _works()[name]
    monkeypatch.setattr(cancellation, "_EVERY", 0.0)
    caller = _Impatient()
    with pytest.raises(CancelledError), cancellable(caller):
        work()
    assert caller.asked == 2
    work()  # and nobody is asked afterwards
    assert caller.asked == 2


def test_a_caller_is_asked_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    asked = []
    with cancellable(lambda: asked.append(now[0])):
        for _ in range(1000):
            look()
        now[0] += 1
        look()
        with cancellable(lambda: asked.append(-1.0)):
            look()
        look()
    look()
    assert asked == [100.0, 101.0, -1.0]
