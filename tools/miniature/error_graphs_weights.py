"""Workflows that provoke each error about how references are combined, and about weights of layers and over the run."""

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop

MASKS = 3


def more_weights_than_prompts(shop: Workshop) -> Step:
    """Three weights for two prompts."""
    return _combined(shop, weights="1, 0.5, 0.2")


def masks_in_a_mixture(shop: Workshop) -> Step:
    """A mixture is one reference and has one place."""
    masked = _weighed(shop, torch.ones(1, 8, 8))
    return _combined(shop, masked, method="average")


def a_mixture_of_pairs(shop: Workshop) -> Step:
    """Some ways to mix have no meaning for what Instruct reads."""
    adapter = shop.face_adapter("csgo.safetensors", "CSGO", "SDXL", layers=60)
    given = {"ip_adapter": adapter, "content": shop.picture("a cat"), "style": shop.picture("a drawing")}
    pair = Step("IPAdapterCoreEncodeContentStyle", given | {"clip_vision": shop.encoder("a small one", 64, 32)})
    return _combined(shop, pair, pair, method="max")


def weights_that_add_up_to_nothing(shop: Workshop) -> Step:
    """An average over 0."""
    return _combined(shop, method="average", weights="1, -1")


def more_masks_than_references(shop: Workshop) -> Step:
    """The masks of a clip for one reference."""
    return _weighed(shop, torch.ones(MASKS, 8, 8))


def prompts_of_two_adapters(shop: Workshop) -> Step:
    """Each was encoded for another adapter."""
    plus = shop.adapter("ip-adapter-plus_sd15.safetensors", kind="plus")
    return _combined(shop, shop.encoded(shop.adapter()), shop.encoded(plus))


def a_block_that_is_not_there(shop: Workshop) -> Step:
    """SD1.5 has no such block."""
    return Step("IPAdapterCoreLayerWeights", {"preset": "linear", "blocks": "input 12: 1"})


def points_out_of_order(shop: Workshop) -> Step:
    """Points are read from left to right."""
    return _schedule("0.5: 1, 0.2: 0")


def points_outside_the_run(shop: Workshop) -> Step:
    """A place beyond the end."""
    return _schedule("0: 1, 20: 0")


def no_colon(shop: Workshop) -> Step:
    """A block without a weight."""
    return Step("IPAdapterCoreLayerWeights", {"preset": "linear", "blocks": "input 4"})


def no_number(shop: Workshop) -> Step:
    """A word where a number belongs."""
    return Step("IPAdapterCoreLayerWeights", {"preset": "linear", "blocks": "input 4: much"})


def no_block(shop: Workshop) -> Step:
    """A word that names no block."""
    return Step("IPAdapterCoreLayerWeights", {"preset": "linear", "blocks": "face: 1"})


def names_and_numbers(shop: Workshop) -> Step:
    """Two ways to name blocks in one text."""
    return Step("IPAdapterCoreLayerWeights", {"preset": "linear", "blocks": "input 4: 1, 3: 0.5"})


def _schedule(points: str) -> Step:
    return Step("IPAdapterCoreWeightSchedule", {"preset": "late", "points": points})


def _weighed(shop: Workshop, mask: torch.Tensor) -> Step:
    masks = Step("Load Image (as Mask)", note=f"{len(mask)} masks", make=lambda: mask)
    return Step("IPAdapterCoreWeighReference", {"image_prompt": shop.encoded(shop.adapter()), "mask": masks})


def _combined(shop: Workshop, first: Step | None = None, second: Step | None = None, **inputs) -> Step:
    one = shop.encoded(shop.adapter())
    sockets = {"image_prompts.image_prompt0": first or one, "image_prompts.image_prompt1": second or one}
    return Step("IPAdapterCoreCombine", sockets | {"method": "concat"} | inputs)
