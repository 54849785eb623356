"""The HTML report: one file of everything in a run store, which loads nothing from anywhere."""
