"""Code that runs inside Triton's Python backend: stages and, in the profile embedded, leaf models."""
