"""Weights files: located, read and matched to a network."""
