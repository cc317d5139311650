"""What `dev.py` is made of: the environment, a ComfyUI server to try things in, and the demo. Not part of the node pack."""
