"""What the tier lipwarp is trained with: footage, the basis of lip shapes, the motion and the renderer."""
