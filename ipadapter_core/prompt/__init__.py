"""The image prompt: data only, its arithmetic and its files."""
