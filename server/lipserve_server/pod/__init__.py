"""A serving pod: its command, its health and metrics pages, and its drain."""
