"""Sets of files by name: adapter, encoder and LoRA, found in the model folders by their headers."""
