"""Runs on many GPUs: a plan that other machines can read, its tasks, and the engines that start them."""
