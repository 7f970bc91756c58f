"""The server: the model repository, the code inside Triton, Triton's launcher, and the pod around it."""
