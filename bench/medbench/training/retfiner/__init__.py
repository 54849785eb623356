"""RetFiner: refinement of an encoder with images and their reports (Fecso et al. 2025)."""
