"""The adapter: its networks, its file, its memory, and the keys and values it makes of a reference."""
