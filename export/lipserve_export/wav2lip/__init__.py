"""The leaf of the tier wav2lip: its generator."""
