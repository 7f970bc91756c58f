"""ONNX graphs: build, export, round, check, and write them with a manifest."""
