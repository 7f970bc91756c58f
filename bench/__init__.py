"""Measurements of speed, memory and parity."""

import lipserve_export  # noqa: F401  (first: it keeps ONNX Runtime from reporting what it runs)
