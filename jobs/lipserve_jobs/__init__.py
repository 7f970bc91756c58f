"""Jobs: clips that are taken, made by whoever is free, and kept until they are fetched."""
