"""TensorRT engines of exported graphs, and their store."""
