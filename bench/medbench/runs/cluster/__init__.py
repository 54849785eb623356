"""Runs on many GPUs: a plan that travels, its tasks, and the engines that start them."""
