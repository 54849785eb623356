"""What a job computes on: features, images, or several inputs a sample."""
