"""Paired comparisons."""
