"""Benchmarks, not tests: `make bench` runs them and writes their table."""
