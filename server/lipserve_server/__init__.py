"""The server: the model repository, what runs inside Triton, what starts Triton, and the pod around it."""
