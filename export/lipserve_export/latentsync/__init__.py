"""The leaves of the tier latentsync: Whisper, the VAE and UNet3D."""
