"""The demo world: a diffusion model small enough to ship, and the nodes that load it."""


async def comfy_entrypoint():
    """Returns the demo's nodes; imported late, so that importing the folder needs no ComfyUI."""
    from .nodes import DemoWorldExtension

    return DemoWorldExtension()
