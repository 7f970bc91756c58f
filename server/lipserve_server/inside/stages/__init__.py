"""Stages of the DAG: they connect the computations of `lipserve` with the leaf models."""

import cv2

# Requests overlap: OpenCV's own threads would only wait for one another.
cv2.setNumThreads(1)
