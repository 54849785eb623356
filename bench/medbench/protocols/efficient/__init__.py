"""Cheap adaptation: few parameters of an encoder are trained, or a small network on its frozen tokens."""
