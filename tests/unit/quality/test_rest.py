from __future__ import annotations

import numpy as np

from lipserve.quality import rest


def test_lip_leak_counts_frames_that_are_higher_than_a_quarter_of_their_width() -> None:
    meshes = np.zeros((4, 468, 2))
    meshes[:, 308] = [40, 0]  # the corners are 40 apart ...
    meshes[:, 14, 1] = [0, 9.9, 10.1, 30]  # ... and the lips that far
    assert rest.lip_leak(meshes) == 0.5
    turned = meshes[..., ::-1] * 3 + 7  # neither place, size nor tilt matters
    assert rest.lip_leak(turned) == 0.5
