"""The HTML report: one self-contained file of everything in a run store."""
