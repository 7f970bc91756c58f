"""The tier that moves the source's own pixels: speech to lip shapes, shapes to flows, flows to pictures."""
