"""How strongly an image prompt acts: by layer (with the layer presets), over the run, by frame."""
