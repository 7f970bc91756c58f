"""The tier lipwarp: speech to lip shapes, shapes to flows, flows to moved source pixels."""
