"""Adapter of the leaf model `face_landmarks_106` in the embedded profile; no other profile reads it."""

from lipserve_server.inside.backend import LeafModel


class TritonPythonModel(LeafModel):
    """Runs `model.onnx`, which lies beside this file."""
