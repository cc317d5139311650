"""Workflows that provoke each error about families that look alike, are not there, or are too new for a ComfyUI."""

import inspect
from unittest.mock import patch

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.perception import tiny_perception
from pack.tools.miniature.transformers import perceiver, xlabs


def a_kolors_adapter_on_sdxl(shop: Workshop) -> Step:
    """SDXL's layers have the same sizes."""
    adapter = shop.face_adapter("kolors_faceid.safetensors", "Kolors FaceID Plus", "SDXL")
    prompt = Step("Encode Face", note="for this file", make=lambda: None)
    return shop.applied(shop.checkpoint("SDXL"), adapter, prompt)


def half_a_perception_encoder(shop: Workshop) -> Step:
    """A tensor is missing."""
    weights = tiny_perception()
    del weights["visual.ln_post.weight"]
    torch.save(weights, shop.place("clip_vision", "pe.pt"))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "pe.pt"})


def a_comfyui_without_the_hooks(shop: Workshop) -> Step:
    """FLUX's blocks as they were before they asked patches."""
    adapter = shop.transformer_adapter("flux_xlabs.safetensors", xlabs(2, 256, 64))
    step = shop.applied(shop.transformer("FLUX"), adapter, Step("Encode Reference Image", make=lambda: None))

    def make():
        with patch.object(inspect, "getsource", lambda _: ""):
            return step.value()

    return Step("Apply IP-Adapter", note="in an old ComfyUI", make=make)


def double_blocks_where_there_are_none(shop: Workshop) -> Step:
    """Anima's blocks are of one kind."""
    adapter = shop.transformer_adapter("anima_pe.safetensors", perceiver(3, 128, feature=128))
    weights = Step("IPAdapterCoreLayerWeights", {"preset": "double blocks only", "blocks": ""})
    prompt = Step("Encode Reference Image", note="with PE-Core", make=lambda: _seen(adapter))
    return shop.applied(shop.transformer("Anima"), adapter, prompt, layer_weights=weights)


def _seen(adapter: Step):
    from pack.tools.miniature.transformers import noise, prompt_for

    return prompt_for(adapter.value(), noise(1, 17, 128))


FAMILY_GRAPHS = (
    a_kolors_adapter_on_sdxl, half_a_perception_encoder, a_comfyui_without_the_hooks, double_blocks_where_there_are_none,
)  # fmt: skip
