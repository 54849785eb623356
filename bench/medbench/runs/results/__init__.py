"""Records of finished units: what they hold, and where their numbers come from."""
