"""PyTorch definitions of the networks, under the names of the public checkpoints."""
