"""The operator's tool: what a release of LipServe does on its cluster, and what an operator does to it."""
