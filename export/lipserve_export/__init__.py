import os

# Official builds of ONNX Runtime report models' names and digests to its maker, unless this is set in time.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
