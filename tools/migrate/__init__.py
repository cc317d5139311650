"""Rewrites a workflow of ComfyUI_IPAdapter_plus to our own nodes."""
