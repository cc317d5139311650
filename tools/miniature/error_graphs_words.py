"""Workflows that provoke each error about the part of a reference that is read, and about the words that it belongs to."""

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop


def patches_of_a_base_adapter(shop: Workshop) -> Step:
    """It reads one vector of the whole image."""
    return shop.encoded(shop.adapter(), mask=_mask(1.0), mask_use="patches")


def a_mask_that_selects_nothing(shop: Workshop) -> Step:
    """Black everywhere."""
    adapter = shop.adapter("ip-adapter-plus_sd15.safetensors", kind="plus")
    return shop.encoded(adapter, mask=_mask(0.0), mask_use="patches")


def _mask(value: float) -> Step:
    return Step("Load Image (as Mask)", make=lambda: torch.full((1, 96, 96), value))


WORD_GRAPHS = (patches_of_a_base_adapter, a_mask_that_selects_nothing)
