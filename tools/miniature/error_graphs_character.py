"""Workflows that provoke each error about InstantCharacter's two image encoders."""

from typing import Any

import torch
from pack.tools.miniature.dino import comfy_dino, comfy_siglip, theirs_dino, theirs_siglip
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.instant_character import instant_character

FILE = "instantcharacter_ip-adapter.safetensors"


def an_adapter_of_two_encoders_in_tiles(shop: Workshop) -> Step:
    """Tiles are looked at through one encoder."""
    given = {"ip_adapter": _adapter(shop), "image": shop.picture(), "clip_vision": _siglip(), "tiles": 2}
    return Step("IPAdapterCoreEncodeTiled", given)


def one_of_two_encoders(shop: Workshop) -> Step:
    """SigLIP without DINOv2."""
    return shop.encoded(_adapter(shop), clip_vision=_siglip(), fit="as trained")


def a_mask_over_patches_of_two_scales(shop: Workshop) -> Step:
    """The same patch is not in the same place in both looks."""
    mask = Step("Load Image (as Mask)", make=lambda: torch.ones(1, 96, 96))
    return _encoded(shop, mask=mask, mask_use="patches")


def encoders_of_other_widths(shop: Workshop) -> Step:
    """DINOv2-large where DINOv2-giant belongs, or any of another width."""
    return _encoded(shop, second_clip_vision=_dino(hidden_size=32))


def a_shallow_siglip(shop: Workshop) -> Step:
    """SigLIP-base has twelve layers."""
    return _encoded(shop, clip_vision=_siglip(num_hidden_layers=12))


def a_shallow_dinov2(shop: Workshop) -> Step:
    """DINOv2-large has 24 layers."""
    return _encoded(shop, second_clip_vision=_dino(num_hidden_layers=24))


def encoders_of_other_patches(shop: Workshop) -> Step:
    """SigLIP with patches of 10 pixels sees more of them than DINOv2."""
    return _encoded(shop, clip_vision=_siglip(patch_size=10))


def _adapter(shop: Workshop) -> Step:
    return shop.transformer_adapter(FILE, instant_character(5, 256))


def _siglip(**changes: Any) -> Step:
    return Step("Load CLIP Vision", note="SigLIP", make=lambda: comfy_siglip(theirs_siglip(**changes)))


def _dino(**changes: Any) -> Step:
    return Step("Load CLIP Vision", note="DINOv2", make=lambda: comfy_dino(theirs_dino(**changes), **changes))


def _encoded(shop: Workshop, **inputs: Any) -> Step:
    given = {"clip_vision": _siglip(), "second_clip_vision": _dino(hidden_size=64), "fit": "as trained"}
    return shop.encoded(_adapter(shop), **given | inputs)


CHARACTER_GRAPHS = (
    an_adapter_of_two_encoders_in_tiles,
    one_of_two_encoders,
    a_mask_over_patches_of_two_scales,
    encoders_of_other_widths,
    a_shallow_siglip,
    a_shallow_dinov2,
    encoders_of_other_patches,
)
