"""Masks over the canvas as weights of latent tokens; every rule for masks."""
