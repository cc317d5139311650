"""Renders references x prompts x seeds x weights on one ComfyUI or, with Ray, on many; docs/campaign.md."""
