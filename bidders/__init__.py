"""Buyers' systems for the demo, the tests and the benchmarks; they speak only the wire."""
