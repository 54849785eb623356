"""DINO self-supervision of an encoder (Caron et al. 2021)."""
