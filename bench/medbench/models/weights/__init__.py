"""Weights files: where they are, how they are read, and how their names match a network's."""
