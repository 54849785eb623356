"""What a user's own CSV or folder is taken for."""
