"""Tables of other test sets: other data, and corrupted images."""
