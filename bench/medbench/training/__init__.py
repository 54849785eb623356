"""Training: linear heads on features, fine-tuning of networks, DINO self-supervision."""
