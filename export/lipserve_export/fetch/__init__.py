"""Sources of weights: downloads, files that come with LipServe, checkpoints in all published forms."""
