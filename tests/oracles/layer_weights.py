"""The layer weights of style and composition, written out."""

import torch
from pack.ipadapter_core.patchers.families.unet import layer_map

# What each block is, by its index t in running order (ComfyUI_IPAdapter_plus' numbers, with the middle block counted).
COUNT = {"SD1.5": 16, "SDXL": 11}


STYLE = {"SD1.5": [0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15], "SDXL": [6]}


COMPOSITION = {"SD1.5": {4: 0.25, 5: 1.0}, "SDXL": {3: 1.0}}


def running_index(model):
    """The t of each layer in file order, as ComfyUI itself counts while the UNet runs."""
    seen = {}

    def note(query, key, value, options):
        seen[(*options["block"], options["block_index"])] = options["transformer_index"]
        return query

    blocks = [layer.block for layer in layer_map(model.model.diffusion_model)]
    options = {"patches_replace": {"attn2": dict.fromkeys(blocks, note)}}
    y = torch.zeros(1, 2816) if model.model.diffusion_model.num_classes is not None else None
    with torch.no_grad():
        model.model.diffusion_model(
            torch.zeros(1, 4, 16, 16), torch.zeros(1), torch.zeros(1, 2, 96), y=y, transformer_options=options
        )
    return [seen[block] for block in blocks]
