"""Prepared images, their store and their transforms."""
