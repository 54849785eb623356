"""Fine-tuning of networks."""
