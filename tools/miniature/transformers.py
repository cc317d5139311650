"""Transformer models in miniature, adapters for them in their original file layouts, and a model call as a sampler makes it."""

from typing import Any, NamedTuple

import torch
from pack.ipadapter_core.adapter.load import adapter_from_weights
from pack.ipadapter_core.adapter.managed import ManagedAdapter
from pack.ipadapter_core.patchers.hooks.wrappers import STEP, applications_of
from pack.ipadapter_core.prompt.features import Features, each
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.ipadapter_core.sampling.run import Run
from pack.tools.miniature.models import randomise
from pack.tools.miniature.wan import WAN_MODELS
from torch import Tensor

import comfy.model_patcher
import comfy.patcher_extension
import comfy.supported_models

FLUX = {
    "image_model": "flux", "in_channels": 4, "out_channels": 4, "vec_in_dim": 32, "context_in_dim": 64, "hidden_size": 256,
    "mlp_ratio": 4.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 3, "axes_dim": [16, 56, 56], "theta": 10000,
    "patch_size": 2, "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
CHROMA = {
    "image_model": "chroma", "in_channels": 16, "out_channels": 16, "context_in_dim": 64, "hidden_size": 256, "mlp_ratio": 4.0,
    "num_heads": 2, "depth": 2, "depth_single_blocks": 3, "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "in_dim": 64, "out_dim": 256, "hidden_dim": 64, "n_layers": 2, "txt_ids_dims": [], "vec_in_dim": 32,
}  # fmt: skip
SD3 = {
    "in_channels": 4, "out_channels": 4, "depth": 3, "patch_size": 2, "adm_in_channels": 32,
    "input_size": None, "pos_embed_max_size": 16, "num_patches": 256, "qk_norm": "rms", "context_size": 64,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": 64, "out_features": 192}},
}  # fmt: skip
ANIMA = {
    "image_model": "anima", "max_img_h": 16, "max_img_w": 16, "max_frames": 4, "in_channels": 16, "out_channels": 16,
    "patch_spatial": 2, "patch_temporal": 1, "concat_padding_mask": True, "model_channels": 128, "num_blocks": 3,
    "num_heads": 2, "mlp_ratio": 4.0, "crossattn_emb_channels": 64, "pos_emb_cls": "rope3d", "pos_emb_learnable": False,
    "use_adaln_lora": True, "adaln_lora_dim": 32, "rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0,
    "rope_t_extrapolation_ratio": 1.0, "rope_enable_fps_modulation": False,
}  # fmt: skip
MODELS = {
    "FLUX": (comfy.supported_models.Flux, FLUX), "Chroma": (comfy.supported_models.Chroma, CHROMA),
    "SD3": (comfy.supported_models.SD3, SD3), "Anima": (comfy.supported_models.Anima, ANIMA), **WAN_MODELS,
}  # fmt: skip
FRAMES = {"Anima": 1, **dict.fromkeys(WAN_MODELS, 3)}  # of the latents of models that have them


def tiny_transformer(
    name: str, seed: int | None = 0, dtype=torch.float32, cast=None, **changes
) -> comfy.model_patcher.ModelPatcher:
    """A model patcher over a miniature of ComfyUI's own class; without a seed its weights are to be loaded.

    With `cast`, weights of `dtype` are cast to that one at each use, as ComfyUI does for float8; they are to be loaded, too.
    """
    family, sizes = MODELS[name]
    config = family(sizes | changes)
    config.unet_config |= sizes | changes
    config.set_inference_dtype(dtype, cast)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    if seed is not None and cast is None:
        randomise(model.diffusion_model, seed)
        for key, buffer in model.diffusion_model.named_buffers():
            if key == "pos_embed":
                buffer.normal_(generator=torch.Generator().manual_seed(seed)).mul_(0.1)
    return comfy.model_patcher.CoreModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def noise(*shape: int, seed: int = 5) -> Tensor:
    """Seeded noise."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Call(NamedTuple):
    """One model call: latent, noise level, and the network's other arguments."""

    latent: Tensor
    sigma: Tensor
    arguments: dict[str, Any]


def some_call(name: str, batch: int = 2, size: tuple[int, int] = (8, 6)) -> Call:
    """Seeded inputs for a model."""
    sizes = MODELS[name][1]
    latent = noise(batch, 16, FRAMES[name], *size) if name in FRAMES else noise(batch, 4, *size)
    arguments: dict[str, Any] = {"context": noise(batch, 7, 64, seed=6)}
    if name in ("FLUX", "SD3"):
        arguments["y"] = noise(batch, sizes.get("vec_in_dim") or sizes["adm_in_channels"], seed=7)
    if name in ("FLUX", "Chroma"):
        arguments["guidance"] = torch.full((batch,), 3.5)
    return Call(latent, torch.full((batch,), 0.6), arguments)


def predict(
    model: comfy.model_patcher.ModelPatcher, call: Call, passes=(1, 0), run: Run | None = None, **options
) -> Tensor:
    """The network's prediction inside ComfyUI's own chain of wrappers, with the model patched as for sampling."""
    announced = {"cond_or_uncond": list(passes), "sigmas": call.sigma, "wrappers": dict(model.wrappers)}
    options = model.model_options["transformer_options"] | announced | options
    run = run or Run()
    pictures = call.latent.shape[0] // len(passes)
    if STEP not in options:
        options[STEP] = run.step([[], []], call.latent[:pictures], call.sigma, applications_of(options))
    wrappers = model.get_all_wrappers(comfy.patcher_extension.WrappersMP.APPLY_MODEL)

    def network(x, sigma, c_concat, c_crossattn, control, transformer_options):
        timestep = model.model.model_sampling.timestep(sigma)
        return model.model.diffusion_model(x, timestep, **call.arguments, transformer_options=transformer_options)

    executor = comfy.patcher_extension.WrapperExecutor.new_class_executor(network, model.model, wrappers)
    model.patch_model()
    try:
        with torch.inference_mode():
            return executor.execute(call.latent.clone(), call.sigma, None, None, None, options)
    finally:
        model.unpatch_model()


def weights_of(shapes: dict[str, tuple[int, ...]], seed: int = 1) -> dict[str, Tensor]:
    """Seeded weights that give an adapter a clear effect."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in shapes.items():
        size = shape[-1] ** -0.5 if len(shape) > 1 else 0.1 if shape else 1.0
        values = torch.randn(shape, generator=generator).mul_(size)
        weights[key] = values + 1.0 if len(shape) == 1 and key.endswith("weight") else values
    return weights


def xlabs(double: int, width: int, context: int, tokens: int = 4, feature: int = 48) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of an XLabs file."""
    shapes = {"ip_adapter_proj_model.proj.weight": (tokens * context, feature),
              "ip_adapter_proj_model.proj.bias": (tokens * context,),
              "ip_adapter_proj_model.norm.weight": (context,), "ip_adapter_proj_model.norm.bias": (context,)}  # fmt: skip
    for number in range(double):
        for part in "kv":
            name = f"double_blocks.{number}.processor.ip_adapter_double_stream_{part}_proj"
            shapes |= {f"{name}.weight": (width, context), f"{name}.bias": (width,)}
    return shapes


def instantx_flux(
    blocks: int, width: int, context: int, tokens: int = 5, feature: int = 48
) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of InstantX' FLUX file, flat."""
    shapes = {"image_proj.proj.0.weight": (2 * feature, feature), "image_proj.proj.0.bias": (2 * feature,),
              "image_proj.proj.2.weight": (tokens * context, 2 * feature), "image_proj.proj.2.bias": (tokens * context,),
              "image_proj.norm.weight": (context,), "image_proj.norm.bias": (context,)}  # fmt: skip
    return shapes | {f"ip_adapter.{n}.to_{part}_ip.weight": (width, context) for n in range(blocks) for part in "kv"}


def instantx_sd3(
    blocks: int, width: int, feature: int = 48, hidden: int = 128, tokens: int = 5, time: int = 32, depth: int = 4
) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of InstantX' SD3.5 file, flat."""
    shapes = {"latents": (1, tokens, hidden), "proj_in.weight": (hidden, feature), "proj_in.bias": (hidden,),
              "proj_out.weight": (width, hidden), "proj_out.bias": (width,),
              "norm_out.weight": (width,), "norm_out.bias": (width,),
              "time_embedding.linear_1.weight": (hidden, time), "time_embedding.linear_1.bias": (hidden,),
              "time_embedding.linear_2.weight": (hidden, hidden), "time_embedding.linear_2.bias": (hidden,)}  # fmt: skip
    for layer in range(depth):
        for name in ("0.norm1", "0.norm2", "1.0"):
            shapes |= {f"layers.{layer}.{name}.{part}": (hidden,) for part in ("weight", "bias")}
        shapes |= {
            f"layers.{layer}.0.to_q.weight": (hidden, hidden), f"layers.{layer}.0.to_kv.weight": (2 * hidden, hidden),
            f"layers.{layer}.0.to_out.weight": (hidden, hidden), f"layers.{layer}.1.1.weight": (4 * hidden, hidden),
            f"layers.{layer}.1.3.weight": (hidden, 4 * hidden), f"layers.{layer}.2.1.weight": (4 * hidden, hidden),
            f"layers.{layer}.2.1.bias": (4 * hidden,),
        }  # fmt: skip
    shapes = {f"image_proj.{key}": shape for key, shape in shapes.items()}
    for n in range(blocks):
        shapes |= {
            f"ip_adapter.{n}.norm_ip.linear.weight": (2 * width, hidden), f"ip_adapter.{n}.norm_ip.linear.bias": (2 * width,),
            f"ip_adapter.{n}.to_k_ip.weight": (width, width), f"ip_adapter.{n}.to_v_ip.weight": (width, width),
            f"ip_adapter.{n}.norm_q.weight": (64,), f"ip_adapter.{n}.norm_k.weight": (64,),
            f"ip_adapter.{n}.norm_ip_k.weight": (64,),
        }  # fmt: skip
    return shapes


def lucifer(blocks: int, width: int, feature: int = 48, text: int = 64, rank: int = 4) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of LuciferTC's Anima file."""
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(blocks):
        for part in "kv":
            shapes |= {
                f"blocks.{n}.ip_{part}_proj.weight": (width, feature),
                f"blocks.{n}.ip_{part}_proj.bias": (width,),
            }
        shapes |= {f"blocks.{n}.adaln_ip.1.weight": (width, width), f"blocks.{n}.adaln_ip.1.bias": (width,)}
        sizes = {
            f"{side}_attn.{part}_proj": (width, width)
            for side in ("self", "cross")
            for part in ("q", "k", "v", "output")
        }
        sizes |= {f"cross_attn.{part}_proj": (width, text) for part in "kv"}
        sizes |= {"mlp.layer1": (4 * width, width), "mlp.layer2": (width, 4 * width)}
        for name, (outputs, inputs) in sizes.items():
            shapes[f"lora.base_model.model.blocks.{n}.{name}.lora_A.weight"] = (rank, inputs)
            shapes[f"lora.base_model.model.blocks.{n}.{name}.lora_B.weight"] = (outputs, rank)
    return shapes


def perceiver(
    blocks: int, width: int, feature: int = 48, text: int = 64, tokens: int = 5, depth: int = 2
) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a PE-Core adapter for Anima."""
    shapes: dict[str, tuple[int, ...]] = {
        "resampler.queries": (1, tokens, text), "resampler.kv_proj.weight": (text, feature),
        "resampler.kv_proj.bias": (text,), "resampler.out.weight": (text, text), "resampler.out.bias": (text,),
        "ip_centroid": (feature,),
    }  # fmt: skip
    norms = [
        f"resampler.blocks.{n}.{norm}" for n in range(depth) for norm in ("q_norm_x", "kv_norm_x", "norm_s", "norm_f")
    ]
    for name in ("resampler.out_norm", *norms):
        shapes |= {f"{name}.{part}": (text,) for part in ("weight", "bias")}
    for n in range(depth):
        name = f"resampler.blocks.{n}"
        for part in ("xattn", "sattn"):
            shapes |= {f"{name}.{part}.in_proj_weight": (3 * text, text), f"{name}.{part}.in_proj_bias": (3 * text,),
                       f"{name}.{part}.out_proj.weight": (text, text), f"{name}.{part}.out_proj.bias": (text,)}  # fmt: skip
        shapes |= {f"{name}.ffn.0.weight": (4 * text, text), f"{name}.ffn.0.bias": (4 * text,),
                   f"{name}.ffn.2.weight": (text, 4 * text), f"{name}.ffn.2.bias": (text,)}  # fmt: skip
    for n in range(blocks):
        shapes |= {f"to_k_ip.{n}.weight": (width, text), f"to_v_ip.{n}.weight": (width, text), f"ip_gate.{n}": ()}
    return shapes


def adapter(weights: dict[str, Tensor], name: str = "tiny.safetensors") -> ManagedAdapter:
    """An adapter from a file's weights, as Load IP-Adapter would make it."""
    return adapter_from_weights(weights, name)


def prompt_for(
    ip_adapter: ManagedAdapter, *features: Features, negative: Features | None = None, **changes
) -> ImagePrompt:
    """An image prompt of given features; its negative is zeros unless given."""
    references = tuple(
        Reference(EncodedImage(one, each(torch.zeros_like, one) if negative is None else negative), **changes)
        for one in features
    )
    return ImagePrompt(references, ip_adapter.spec.projector.feature, "a test")


def relative(difference: Tensor, to: Tensor) -> float:
    """The norm of a difference over a norm."""
    return float(difference.double().norm() / to.double().norm())
