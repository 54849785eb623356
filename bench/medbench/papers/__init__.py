"""Papers: which record fills which cell."""
