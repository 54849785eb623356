"""Runs: plan, keys, locks, execution."""
