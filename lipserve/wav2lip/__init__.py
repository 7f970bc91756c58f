"""The tier `wav2lip`: its geometry, and the speech of each frame."""
