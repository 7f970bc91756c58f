"""Post-training INT8 of a generator: calibration, the sweep over its layers, the graph that comes of it."""
