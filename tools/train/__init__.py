"""Trains an IP-Adapter on your images from the command line, and measures what it learned."""
