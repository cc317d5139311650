"""The images of the documentation, made in the demo world."""
