"""`lipserve compare`: two generators beside each other."""
