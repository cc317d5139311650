"""Graphs that provoke each error about the size at which an image encoder looks."""

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.perception import tiny_perception
from pack.tools.miniature.transformers import perceiver


def a_size_between_patches(shop: Workshop) -> Step:
    """CLIP's patches are 14 pixels wide."""
    return shop.encoded(shop.adapter(), size=450)


def another_size_for_perception(shop: Workshop) -> Step:
    """PE-Core has shapes of its own."""
    torch.save(tiny_perception(), shop.place("clip_vision", "pe.pt"))
    adapter = shop.transformer_adapter("anima_pe.safetensors", perceiver(3, 128, feature=128))
    encoder = Step("IPAdapterCoreLoadEncoder", {"encoder_name": "pe.pt"})
    return shop.encoded(adapter, clip_vision=encoder, fit="as trained", size=448)


ENCODER_GRAPHS = (a_size_between_patches, another_size_for_perception)
