"""Models: card and weights file to a frozen encoder; all encoders have one interface."""
