"""Mesh points that move in speech, by their numbers in MediaPipe's topology."""

from __future__ import annotations

import numpy as np

LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
"""The two contours of the lips, each once around, beginning at the corner on the picture's left."""

JAW = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
)  # fmt: skip
_BETWEEN = (
    2, 164, 200, 199, 175, 18, 83, 313, 406, 182, 43, 273, 57, 287, 186, 410, 92, 322, 165, 391, 167, 393,
    216, 436, 212, 432, 202, 422, 204, 424, 194, 418, 201, 421, 32, 262, 208, 428, 171, 396, 140, 369, 170,
    395, 169, 394, 210, 430, 214, 434, 192, 416, 213, 433, 147, 376, 187, 411, 207, 427, 205, 425, 50, 280,
    206, 426, 98, 327, 97, 326, 1, 4,
)  # fmt: skip

MOVED = np.array((*LIPS_OUTER, *LIPS_INNER, *JAW, *_BETWEEN))
"""int [133]: lips, jaw, and the lower face between them. The first 20 are LIPS_OUTER, the next LIPS_INNER."""

OUTER = slice(0, len(LIPS_OUTER))
INNER = slice(len(LIPS_OUTER), len(LIPS_OUTER) + len(LIPS_INNER))
LIPS = slice(0, len(LIPS_OUTER) + len(LIPS_INNER))
FACE_EDGE = slice(LIPS.stop, LIPS.stop + len(JAW))

RIGID = np.array((33, 133, 362, 263, 168, 6, 197, 195, 98, 327, 10, 151, 127, 356))
"""int [14]: corners of the eyes, ridge and wings of the nose, forehead, temples: still in speech."""
