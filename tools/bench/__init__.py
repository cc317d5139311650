"""Measures what an image prompt costs; --peer DIR beside another pack. Writes docs/benchmarks.md."""
