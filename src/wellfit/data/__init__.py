"""Data: from a name to verified arrays."""
