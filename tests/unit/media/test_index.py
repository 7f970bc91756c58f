"""Every packet of a file, and when what is in it is shown."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from lipserve.errors import LimitError
from lipserve.media import index as index_of
from lipserve.media.index import scan

Clip = Callable[..., bytes]


def test_the_index_lists_every_packet(clip: Clip) -> None:
    index = scan(clip(options={"g": "10", "bf": "2", "sc_threshold": "0"}))
    assert index.packets == len(index.pts) == 30
    assert np.flatnonzero(index.key).tolist() == [0, 10, 20]
    assert (np.diff(index.times) * index.time_base == Fraction(1, 25)).all()
    assert not (np.diff(index.pts) > 0).all()  # decoding order
    assert index.cuttable
    assert not index.hidden.any()


@pytest.mark.parametrize(
    ("codec", "container", "clock", "cuttable"),
    [
        ("libx264", "mp4", "file", True),
        ("libx264", "mpegts", "file", True),
        ("mpeg4", "avi", "counted", False),
        ("libx264", "h264", "counted", False),
    ],
)
def test_where_times_come_from(clip: Clip, codec: str, container: str, clock: str, cuttable: bool) -> None:
    index = scan(clip(30, codec=codec, container=container, options={"bf": "2", "g": "12"}))
    assert (index.clock, index.cuttable, index.restarts, index.faults) == (clock, cuttable, 0, ())
    assert np.unique(np.diff(index.times) * index.time_base).tolist() == [Fraction(1, 25)]
    assert index.packets == len(index.times) == 30


def test_joined_files_restart_once_each(clip: Clip) -> None:
    index = scan(clip(30, container="mpegts") + clip(20, container="mpegts") + clip(10, container="mpegts"))
    assert (index.clock, index.restarts, index.cuttable) == ("joined", 2, True)
    assert (np.diff(index.times) * index.time_base == Fraction(1, 25)).all()


def test_more_packets_than_hours_of_film_have_are_refused(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_of, "MAX_PACKETS", 20)
    assert scan(clip(20)).packets == 20
    with pytest.raises(LimitError, match="more than 20 frames"):
        scan(clip(21))
