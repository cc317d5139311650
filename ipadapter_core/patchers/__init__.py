"""Where an image prompt meets ComfyUI's models: a model family is a file in `families/`."""
