"""Figures of papers, drawn from records."""
