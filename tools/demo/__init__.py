"""Turns a reference and a prompt into images in a real ComfyUI server, and measures them."""
