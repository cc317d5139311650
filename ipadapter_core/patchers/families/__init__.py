"""The model families: where their layers are, and how each is hooked."""
