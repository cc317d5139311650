"""A real ComfyUI: its server, its HTTP API and its frontend."""
