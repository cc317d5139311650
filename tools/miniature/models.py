"""Models and adapters of true structure in miniature, with seeded random weights; nothing here is trained."""

import torch
from pack.ipadapter_core.adapter.managed import ManagedAdapter
from pack.ipadapter_core.adapter.network import Adapter
from pack.ipadapter_core.checkpoint.detect import detect

import comfy.model_patcher
import comfy.ops
import comfy.supported_models

SD15_UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": [1, 2, 2, 2],
    "num_res_blocks": [2, 2, 2, 2], "transformer_depth": [1] * 6 + [0] * 2, "transformer_depth_output": [1] * 9 + [0] * 3,
    "transformer_depth_middle": 1, "context_dim": 96, "num_heads": 4, "num_head_channels": -1,
    "use_linear_in_transformer": False, "use_spatial_transformer": True, "legacy": False, "use_temporal_attention": False,
    "adm_in_channels": None,
}  # fmt: skip
SDXL_UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "channel_mult": [1, 2, 4],
    "num_res_blocks": [2, 2, 2], "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "context_dim": 96, "num_heads": -1,
    "num_head_channels": 16, "use_linear_in_transformer": True, "use_spatial_transformer": True, "legacy": False,
    "use_temporal_attention": False, "adm_in_channels": 2816, "num_classes": "sequential",
}  # fmt: skip
UNETS = {"SD1.5": (comfy.supported_models.SD15, SD15_UNET), "SDXL": (comfy.supported_models.SDXL, SDXL_UNET)}


def randomise(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fills every parameter with seeded noise of a size that keeps activations near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            matrix = parameter.ndim > 1
            parameter.normal_(generator=generator).mul_(parameter[0].numel() ** -0.5 if matrix else 0.05)
            if not matrix and name.endswith("weight"):
                parameter += 1.0
    return module.eval().requires_grad_(False)


def tiny_model(
    base: str = "SD1.5", dtype=torch.float32, seed: int | None = 0, cast=None, **changes
) -> comfy.model_patcher.ModelPatcher:
    """A model patcher over a miniature UNet of ComfyUI's own class; without a seed its weights are to be loaded.

    With `cast`, weights of `dtype` are cast to that one at each use, as ComfyUI does for float8.
    """
    family, sizes = UNETS[base]
    config = family(sizes | changes)
    config.unet_config |= sizes | changes  # the class has put the full model's head sizes in
    config.set_inference_dtype(dtype, cast)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    if seed is not None:
        randomise(model.diffusion_model, seed)
    return comfy.model_patcher.CoreModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


def projector_shapes(kind: str, context: int, feature: int = 64, tokens: int = 4) -> dict[str, tuple[int, ...]]:
    """Keys and shapes below `image_proj.` of a miniature projector in the published layout."""
    if kind == "base":
        return {"proj.weight": (tokens * context, feature), "proj.bias": (tokens * context,),
                "norm.weight": (context,), "norm.bias": (context,)}  # fmt: skip
    if kind == "full face":
        return {"proj.0.weight": (feature, feature), "proj.0.bias": (feature,), "proj.2.weight": (context, feature),
                "proj.2.bias": (context,), "proj.3.weight": (context,), "proj.3.bias": (context,)}  # fmt: skip
    width, inner = 96, 128
    shapes = {"latents": (1, tokens, width), "proj_in.weight": (width, feature), "proj_in.bias": (width,),
              "proj_out.weight": (context, width), "proj_out.bias": (context,), "norm_out.weight": (context,),
              "norm_out.bias": (context,)}  # fmt: skip
    for layer in range(4):
        for name in ("norm1", "norm2"):
            shapes |= {f"layers.{layer}.0.{name}.{part}": (width,) for part in ("weight", "bias")}
        shapes |= {
            f"layers.{layer}.0.to_q.weight": (inner, width), f"layers.{layer}.0.to_kv.weight": (2 * inner, width),
            f"layers.{layer}.0.to_out.weight": (width, inner), f"layers.{layer}.1.0.weight": (width,),
            f"layers.{layer}.1.0.bias": (width,), f"layers.{layer}.1.1.weight": (4 * width, width),
            f"layers.{layer}.1.3.weight": (width, 4 * width),
        }  # fmt: skip
    return shapes


def adapter_weights(kind: str, widths: list[int], context: int, seed: int = 1, **sizes) -> dict[str, torch.Tensor]:
    """A flat state dict in the published layout, with seeded noise that gives the adapter a clear effect."""
    shapes = {f"image_proj.{key}": shape for key, shape in projector_shapes(kind, context, **sizes).items()}
    for index, width in enumerate(widths):
        shapes |= {f"ip_adapter.{2 * index + 1}.to_{part}_ip.weight": (width, context) for part in "kv"}
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=generator).mul_(shape[-1] ** -0.5 if len(shape) > 1 else 0.05)
        weights[key] = noise + 1.0 if len(shape) == 1 and key.endswith("weight") else noise
    return weights


def managed(weights: dict[str, torch.Tensor], dtype=None) -> ManagedAdapter:
    """An adapter from a flat state dict, as Load IP-Adapter would make it."""
    spec = detect({key: tuple(tensor.shape) for key, tensor in weights.items()}, "tiny.safetensors")
    network = Adapter(spec, comfy.ops.manual_cast, device="meta")
    network.load_state_dict({key: tensor.to(dtype or tensor.dtype) for key, tensor in weights.items()}, assign=True)
    cpu = torch.device("cpu")
    return ManagedAdapter(
        spec, comfy.model_patcher.CoreModelPatcher(network.eval(), load_device=cpu, offload_device=cpu)
    )


def widths_of(model: comfy.model_patcher.ModelPatcher) -> list[int]:
    """The widths of a model's cross-attention layers, in file order."""
    from pack.ipadapter_core.patchers.families.unet import layer_map

    return [layer.width for layer in layer_map(model.model.diffusion_model)]
