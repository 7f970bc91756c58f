"""Measurement of results: agreement of lips and speech, rest in silence, sharpness, flicker."""
