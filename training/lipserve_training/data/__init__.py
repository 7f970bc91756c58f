"""Talking videos to training samples."""
