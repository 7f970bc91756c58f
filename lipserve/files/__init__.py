"""Files that a request brings: opened where it is safe, and what is known of their pictures."""
