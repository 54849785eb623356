"""Cards made from the lists of libraries and of MedMNIST."""
