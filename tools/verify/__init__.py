"""Verifies the pack on your own files: what belongs together below --models DIR, on your device, beside diffusers."""
