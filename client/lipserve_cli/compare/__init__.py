"""`lipserve compare`: compare two generators on one clip."""
