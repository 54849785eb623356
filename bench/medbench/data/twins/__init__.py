"""Synthetic twins: made-up data in the official layout of a card."""
