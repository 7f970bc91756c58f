"""TensorRT engines of exported graphs, and the store that they lie in."""
