"""The leaves of the tier lipwarp: speech encoder, lip motion and lip renderer."""
