"""Networks: built by libraries or here, and what all of them are asked for."""
