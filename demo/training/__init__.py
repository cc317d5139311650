"""Trains the demo world from the seed up."""
