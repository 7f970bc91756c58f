"""Files of a request: safe opening, and the properties of their pictures."""
