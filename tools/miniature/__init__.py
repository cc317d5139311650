"""Models, adapters, encoders and files small enough for tests, with the layout of real ones."""
