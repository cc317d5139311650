"""The adapter's networks, its file and memory, and the keys and values it makes of a reference."""
