"""How strongly an image prompt acts: per layer, over the run, per frame."""
