"""A Model Context Protocol server over stdio: characters, images, scores and sweeps for agents, by a ComfyUI."""
