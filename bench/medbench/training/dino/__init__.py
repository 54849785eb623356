"""DINO self-supervision."""
