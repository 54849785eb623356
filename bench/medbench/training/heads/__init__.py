"""Linear heads on features."""
