"""The tier `wav2lip`'s arithmetic: its geometry, and what of the speech each frame hears."""
