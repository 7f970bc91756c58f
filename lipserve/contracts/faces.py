"""Contracts of the leaves that find faces and their landmarks, which every tier uses."""

from __future__ import annotations

from lipserve.contracts.spec import Model, Tensor

DETECTOR_SIZE = 640  # pixels, side of the detector's letterboxed input
MAX_DETECTIONS = 64  # best candidates that the detector leaf gives, before non-maximum suppression
MESH_SIZE = 192  # pixels, side of the face mesh's input
MESH_POINTS = 468

FACE_DETECTOR = Model(
    name="face_detector",
    kind="leaf",
    # RGB, letterboxed: scaled to fit, top left, the rest black.
    inputs=(Tensor("IMAGES", "UINT8", (DETECTOR_SIZE, DETECTOR_SIZE, 3)),),
    outputs=(
        Tensor("BOXES", "FP32", (MAX_DETECTIONS, 4)),  # x1, y1, x2, y2 in input pixels, best score first
        Tensor("SCORES", "FP32", (MAX_DETECTIONS,)),  # 0..1
        Tensor("EYES", "FP32", (MAX_DETECTIONS, 2, 2)),  # x, y of the eye left and right in the picture
    ),
    max_batch_size=8,
    max_queue_delay_us=500,
)

FACE_LANDMARKS = Model(
    name="face_landmarks",
    kind="leaf",
    inputs=(Tensor("IMAGES", "UINT8", (MESH_SIZE, MESH_SIZE, 3)),),  # RGB, an upright face
    outputs=(
        Tensor("LANDMARKS", "FP32", (MESH_POINTS, 3)),  # x, y, z in input pixels
        Tensor("SCORES", "FP32", (1,)),  # 0..1, that there is a face
    ),
    max_batch_size=32,
    max_queue_delay_us=500,
    embedded_instances=2,
)

FACE_LEAVES = (FACE_DETECTOR, FACE_LANDMARKS)
