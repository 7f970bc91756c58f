"""Lip measures of a request's rows, in which the people of a frame stand beside each other."""

from __future__ import annotations

import numpy as np

from lipserve.quality import lips
from lipserve_server.inside.stages.measuring import lips_of


def test_each_persons_lips_are_measured_by_themselves() -> None:
    """A face of 200 pixels beside one of 40: neither is measured by the other's eyes."""
    rng = np.random.default_rng(2)
    large = rng.uniform(0, 200, (20, 468, 3))
    rows = {
        "MESHES": np.stack([large, large / 5], 1).reshape(40, 468, 3),
        "TRACKS": np.tile(np.array([0, 1], np.int32), 20),
    }
    found = lips_of(rows)
    np.testing.assert_allclose(found[::2], lips.measure(large))
    np.testing.assert_allclose(found[1::2], lips.measure(large))


def test_nobody_has_no_lips() -> None:
    rows = {"MESHES": np.zeros((0, 468, 3)), "TRACKS": np.zeros(0, np.int32)}
    assert lips_of(rows).shape == (0, 4)
