"""Features: extracted once for each (weights, transform, data, precision), and stored under that key."""
