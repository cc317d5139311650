"""diffusers' FLUX and SD3 beside ComfyUI's on the same random weights, and what either predicts."""

import copy
from functools import cache

import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from pack.tools.miniature.models import randomise
from pack.tools.miniature.transformers import tiny_transformer
from pack.tools.verify.reference_transformer import flux_output

import comfy.model_detection


def flux_twins():
    """The same random weights as diffusers' transformer, to load adapters into, and as a ComfyUI model."""
    theirs, ours = _flux_twins()
    return copy.deepcopy(theirs), ours


def sd3_twins():
    """The same of SD3."""
    theirs, ours = _sd3_twins()
    return copy.deepcopy(theirs), ours


@cache
def _flux_twins():
    theirs = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=128, num_attention_heads=2,
        joint_attention_dim=64, pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(16, 56, 56),
    )  # fmt: skip
    return _twins(randomise(theirs, 3), "FLUX")


@cache
def _sd3_twins():
    theirs = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_layers=3, attention_head_dim=64, num_attention_heads=3,
        joint_attention_dim=64, caption_projection_dim=192, pooled_projection_dim=32, out_channels=4, pos_embed_max_size=16,
        qk_norm="rms_norm",
    )  # fmt: skip
    return _twins(randomise(theirs, 3), "SD3")


def _twins(theirs, name):
    ours = tiny_transformer(name, seed=None)
    weights = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}
    converted = comfy.model_detection.convert_diffusers_mmdit(weights, "")
    missing, unknown = ours.model.diffusion_model.load_state_dict(converted, strict=False)
    assert not missing and not unknown, (missing, unknown)
    ours.model.diffusion_model.requires_grad_(False)
    return theirs, ours


def flux_theirs(theirs, call, embeds=None):
    given = (call.arguments[name] for name in ("context", "y", "guidance"))
    return flux_output(theirs, call.latent, call.sigma, *given, embeds)


def sd3_theirs(theirs, call, embeds=None):
    extra = None if embeds is None else {"ip_adapter_image_embeds": embeds}
    with torch.no_grad():
        return theirs(
            call.latent, call.arguments["context"], call.arguments["y"], call.sigma * 1000, joint_attention_kwargs=extra
        ).sample
