"""Models: from a card and its official file to one uniform, frozen encoder."""
