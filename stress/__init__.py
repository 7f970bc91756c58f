"""Hostile input and hard times for a running server: `python -m stress.fuzz`, `python -m stress.soak`."""
