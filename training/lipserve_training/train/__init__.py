"""Training: recipes, the loop, and the task of each network."""
