"""XLabs' FLUX adapter and InstantX' SD3.5 adapter: the same weights through diffusers and through us."""

from functools import cache

import pytest
import torch
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.miniature.models import randomise
from pack.tools.miniature.transformers import (
    SD3,
    adapter,
    instantx_sd3,
    noise,
    predict,
    prompt_for,
    relative,
    some_call,
    tiny_transformer,
    weights_of,
    xlabs,
)
from pack.tools.verify.reference_transformer import flux_output

import comfy.model_detection

pytestmark = pytest.mark.dit

LIMIT = 5e-6


@cache
def flux_twins():
    """The same random weights as diffusers' transformer and as a ComfyUI model."""
    theirs = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=2, num_single_layers=3, attention_head_dim=128, num_attention_heads=2,
        joint_attention_dim=64, pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(16, 56, 56),
    )  # fmt: skip
    return _twins(randomise(theirs, 3), "FLUX")


@cache
def sd3_twins():
    """The same random weights as diffusers' transformer and as a ComfyUI model."""
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


def report(capsys, name, base, effect, error):
    with capsys.disabled():
        print(f"\n  {name:16} base {base:.1e}  effect {effect:.2f}  error {error:.1e}")


def nested(ip_adapter):
    """An adapter's weights as diffusers takes them."""
    parts = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in ip_adapter.network.state_dict().items():
        part, name = key.split(".", 1)
        parts[part][name] = tensor.clone()
    return parts


def test_xlabs_equals_diffusers(capsys):
    """A negative and a positive image in one batch."""
    theirs, ours = flux_twins()
    call = some_call("FLUX")
    ip_adapter = adapter(weights_of(xlabs(2, 256, 64)))
    positive, negative = noise(1, 48, seed=8), noise(1, 48, seed=9)
    plain = flux_theirs(theirs, call)
    base = relative(predict(ours, call) - plain, plain)
    theirs._load_ip_adapter_weights([nested(ip_adapter)], low_cpu_mem_usage=False)
    for processor in theirs.attn_processors.values():
        processor.scale = [0.8]
    wanted = flux_theirs(theirs, call, [torch.cat((negative, positive))[:, None]])
    model = apply_image_prompt(ours, ip_adapter, prompt_for(ip_adapter, positive, negative=negative), Strength(0.8))
    error = relative(predict(model, call) - wanted, wanted - plain)
    report(capsys, "FLUX.1 XLabs", base, relative(wanted - plain, plain), error)
    assert error <= LIMIT
    assert relative(wanted - plain, plain) > 0.05


def test_instantx_sd3_equals_diffusers(capsys):
    """A negative and a positive image in one batch, the resampler included."""
    theirs, ours = sd3_twins()
    call = some_call("SD3")
    ip_adapter = adapter(weights_of(instantx_sd3(SD3["depth"], 192)))
    positive, negative = noise(1, 9, 48, seed=8), noise(1, 9, 48, seed=9)
    plain = sd3_theirs(theirs, call)
    base = relative(predict(ours, call) - plain, plain)
    theirs._load_ip_adapter_weights(nested(ip_adapter), low_cpu_mem_usage=False)
    for processor in theirs.attn_processors.values():
        processor.scale = 0.8
    wanted = sd3_theirs(theirs, call, torch.cat((negative, positive)))
    model = apply_image_prompt(ours, ip_adapter, prompt_for(ip_adapter, positive, negative=negative), Strength(0.8))
    error = relative(predict(model, call) - wanted, wanted - plain)
    report(capsys, "SD3.5 InstantX", base, relative(wanted - plain, plain), error)
    assert error <= LIMIT
    assert relative(wanted - plain, plain) > 0.05
