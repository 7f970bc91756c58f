"""The quality tier's arithmetic: geometry, masks, noise, windows, audio features, schedulers, denoising."""
