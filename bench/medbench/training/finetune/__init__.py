"""Fine-tuning: a network trained on labels, or the part of it that is not frozen."""
