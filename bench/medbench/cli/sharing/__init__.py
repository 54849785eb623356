"""Commands that take results and features to other places, and bring them from there."""
