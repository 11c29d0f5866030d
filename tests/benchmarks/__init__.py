"""What the server costs: `python -m tests.benchmarks` measures and prints one table."""
