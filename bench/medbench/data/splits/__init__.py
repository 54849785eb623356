"""Split rules and split files."""
