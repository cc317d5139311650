"""Plots and text drawn as images with Pillow."""
