"""Training of the tier lipwarp: footage, basis of lip shapes, motion, renderer."""
