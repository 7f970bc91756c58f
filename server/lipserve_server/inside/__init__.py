"""What runs inside Triton: the stages and leaves of its Python backend."""
