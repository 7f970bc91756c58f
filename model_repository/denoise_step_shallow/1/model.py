"""Adapter of the leaf model `denoise_step_shallow` in the embedded profile; no other profile reads it."""

from lipserve_server.inside.backend import LeafModel


class TritonPythonModel(LeafModel):
    """Runs `model.onnx`, which lies beside this file."""
