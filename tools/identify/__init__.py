"""Says what files are: adapters, image encoders, or which node takes them; ComfyUI need not run."""
