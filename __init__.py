"""IP-Adapter Core: image prompts for ComfyUI. ComfyUI finds the nodes through `comfy_entrypoint`."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Returns the extension that lists our nodes; imported late, so that importing the pack needs no ComfyUI."""
    from .nodes import IPAdapterCoreExtension

    return IPAdapterCoreExtension()
