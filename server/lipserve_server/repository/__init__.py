"""The model repository: its configuration, its manifests, its engines, and its assembly."""
