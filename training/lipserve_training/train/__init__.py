"""Training: recipes, the loop, and what each network is trained for."""
