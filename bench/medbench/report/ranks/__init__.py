"""Studies: entrants ranked over data sets."""
