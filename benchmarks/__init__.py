"""Timings and stress, never asserted in tests; each module is a command: `python -m benchmarks.<name>`."""
