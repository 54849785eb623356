"""Networks: built by libraries or here, with the names that medbench uses."""
