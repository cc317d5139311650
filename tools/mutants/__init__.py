"""Breaks the core in a hundred ways, one at a time in a copy, and wants a test to fail each time; writes docs/testing.md."""
