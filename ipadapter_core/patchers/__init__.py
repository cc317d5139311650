"""Where the image prompt meets ComfyUI's models: hooks only, no copied forward, nothing changed for good."""
