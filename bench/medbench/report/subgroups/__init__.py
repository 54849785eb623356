"""Subgroups of the test images, such as women and men: who is in which, and how well a run works on each."""
