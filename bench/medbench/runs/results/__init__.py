"""Records of finished units: what they hold, and where it comes from."""
