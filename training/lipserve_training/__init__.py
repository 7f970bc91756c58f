"""Train, compress and judge generators of the fast tier."""
