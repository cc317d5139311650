"""What comes through a socket, checked by kind: images, masks, numbers, texts, curves."""
