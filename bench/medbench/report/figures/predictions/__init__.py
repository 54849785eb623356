"""Figures of one data set that are computed from stored test predictions."""
