"""Data: read, split, check and prepare data sets; toy sets and synthetic twins."""
