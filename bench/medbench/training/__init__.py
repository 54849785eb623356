"""Training: schedules, and many linear heads as one batched problem."""
