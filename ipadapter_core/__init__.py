"""The engine of IP-Adapter Core: checkpoints, projectors, image prompts, and the patches that apply them."""
