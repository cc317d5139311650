"""The end-to-end tests on every ComfyUI that can be had, each with its own packages, one after another."""
