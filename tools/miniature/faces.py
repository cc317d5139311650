"""Face, style and instruction adapters in miniature: published key names, seeded noise."""

import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.adapter.managed import ManagedAdapter
from safetensors.torch import save_file
from torch import Tensor

IDENTITY, PICTURE, TEXT = 512, 64, 48


def affine(name: str, outputs: int, inputs: int, bias: bool = True) -> dict:
    """A linear layer's shapes."""
    return {f"{name}.weight": (outputs, inputs)} | ({f"{name}.bias": (outputs,)} if bias else {})


def norm(name: str, width: int) -> dict:
    """A norm's shapes."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def perceiver_layer(name: str, width: int, inner: int, times: int = 4) -> dict:
    """One layer of a resampler."""
    return {
        **norm(f"{name}.0.norm1", width), **norm(f"{name}.0.norm2", width), **affine(f"{name}.0.to_q", inner, width, False),
        **affine(f"{name}.0.to_kv", 2 * inner, width, False), **affine(f"{name}.0.to_out", width, inner, False),
        **norm(f"{name}.1.0", width), **affine(f"{name}.1.1", times * width, width, False),
        **affine(f"{name}.1.3", width, times * width, False),
    }  # fmt: skip


def resampler(context: int, feature: int, width: int = 96, tokens: int = 16, depth: int = 4) -> dict:
    """A resampler with two heads."""
    shapes = {"latents": (1, tokens, width), **affine("proj_in", width, feature), **affine("proj_out", context, width),
              **norm("norm_out", context)}  # fmt: skip
    for i in range(depth):
        shapes |= perceiver_layer(f"layers.{i}", width, 128)
    return shapes


def face(context: int, tokens: int) -> dict:
    """FaceID's projector."""
    return {**affine("proj.0", 2 * IDENTITY, IDENTITY), **affine("proj.2", tokens * context, 2 * IDENTITY),
            **norm("norm", context)}  # fmt: skip


def face_plus(context: int, tokens: int = 4) -> dict:
    """FaceID Plus' projector."""
    inner = {**affine("proj_in", context, PICTURE), **affine("proj_out", context, context), **norm("norm_out", context)}
    for i in range(4):
        inner |= perceiver_layer(f"layers.{i}", context, 128)
    return face(context, tokens) | {f"perceiver_resampler.{key}": shape for key, shape in inner.items()}


def instructed(context: int) -> dict:
    """IP-Adapter-Instruct's projector."""
    shapes = resampler(context, PICTURE) | affine("proj_new_input", 96, TEXT) | affine("proj_prompt_input", 96, TEXT)
    for i in range(4):
        shapes |= perceiver_layer(f"prompt_layers.{i}", 96, 128, 2) | perceiver_layer(
            f"new_input_layers.{i}", 96, 128, 2
        )
    return shapes


def pair(context: int) -> dict:
    """CSGO's two projectors, under the names of its file."""
    content = {f"content.{key}": shape for key, shape in resampler(context, PICTURE, tokens=4).items()}
    return content | {f"style.{key}": shape for key, shape in resampler(context, PICTURE, tokens=8).items()}


PROJECTORS = {
    "FaceID": lambda context: face(context, 4),
    "FaceID Plus": face_plus,
    "Portrait": lambda context: face(context, 16),
    "Portrait unnorm": lambda context: resampler(context, IDENTITY),
    "Kolors plus": lambda context: resampler(context, PICTURE, width=160),
    "Kolors FaceID Plus": lambda context: face_plus(2 * context, 6),
    "Instruct": instructed,
    "Art": lambda context: {**affine("image_embeds", 4 * context, PICTURE), **norm("norm", context)},
    "CSGO": pair,
}


def weights_of(kind: str, widths: list[int], context: int, seed: int = 1, lora: bool = False) -> dict[str, Tensor]:
    """A flat state dict; attention weights of a size that gives the adapter a clear effect."""
    shapes = {f"image_proj.{key}": shape for key, shape in PROJECTORS[kind](context).items()}
    for index, width in enumerate(widths):
        shapes |= {f"ip_adapter.{2 * index + 1}.to_{part}_ip.weight": (width, context) for part in "kv"}
        if lora:
            shapes |= lora_shapes(index, width, context)
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=generator).mul_(shape[-1] ** -0.5 if len(shape) > 1 else 0.05)
        weights[key] = noise + 1.0 if len(shape) == 1 and key.endswith("weight") else noise
    return weights


def lora_shapes(index: int, width: int, context: int, rank: int = 4) -> dict:
    """The LoRA of one transformer block: self-attention at the even number, cross-attention at the odd one."""
    shapes = {}
    for number, source in ((2 * index, width), (2 * index + 1, context)):
        for part in ("q", "k", "v", "out"):
            inputs = source if part in "kv" else width
            shapes[f"ip_adapter.{number}.to_{part}_lora.down.weight"] = (rank, inputs)
            shapes[f"ip_adapter.{number}.to_{part}_lora.up.weight"] = (width, rank)
    return shapes


def loaded(weights: dict[str, Tensor], folder, name: str = "tiny.safetensors") -> ManagedAdapter:
    """Through a file, as Load IP-Adapter does."""
    path = folder / name
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, path)
    return load_adapter(str(path))


def tiny_encoder(width: int = PICTURE, size: int = 56, projection: int = 32):
    """ComfyUI's own CLIP vision class in miniature: (size / 14)^2 + 1 patches of `width`."""
    from pack.tools.miniature.models import randomise

    from comfy.clip_vision import ClipVisionModel

    config = {"hidden_size": width, "image_size": size, "intermediate_size": 2 * width, "num_attention_heads": 4,
              "num_hidden_layers": 3, "patch_size": 14, "projection_dim": projection, "hidden_act": "gelu",
              "num_channels": 3, "model_type": "clip_vision_model"}  # fmt: skip
    encoder = ClipVisionModel(config)
    randomise(encoder.model.float(), seed=2)
    return encoder
