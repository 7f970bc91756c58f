"""The stages of the DAG. What they compute is in `lipserve`; here it meets the leaf models."""

import cv2

# Requests overlap: OpenCV's own threads would only wait for one another.
cv2.setNumThreads(1)
