"""Features: extracted once per (weights, transform, data, precision), stored with the key that made them."""
