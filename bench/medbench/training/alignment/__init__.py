"""Alignment of images with texts: captions, losses, towers, steps."""
