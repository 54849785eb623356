"""Checks of a copy on disk, and the page that shows them."""
