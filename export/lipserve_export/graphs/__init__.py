"""ONNX graphs: how they are built, exported, rounded, checked and written with their manifest."""
