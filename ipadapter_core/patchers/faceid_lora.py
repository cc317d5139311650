"""The LoRA inside a FaceID file, as ComfyUI's own weight patches."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

import comfy.lora
from comfy.ldm.modules.attention import BasicTransformerBlock, SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ..adapter.managed import ManagedAdapter
from ..errors import ModelMismatchError
from .families.unet import check_fit, layer_map, unet_of
from .own_loras import add_own_lora

PARTS = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"}


class Patched(NamedTuple):
    """A patched clone, and what there is to say about it."""

    model: ModelPatcher
    report: str


def apply_lora(model: ModelPatcher, adapter: ManagedAdapter, strength: float) -> Patched:
    """A clone of `model` whose attention weights, those that the adapter's LoRA is for, carry it.

    Raises `ModelMismatchError` when the file holds none or was made for another model.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/attention_processor_faceid.py: q, k, v and out of every layer,
    no alpha, scale 1.
    """
    spec = adapter.spec
    if not spec.lora_rank:
        raise ModelMismatchError(
            f"{spec.file} ({spec.format}) holds no LoRA: take Apply FaceID LoRA out of the workflow, this adapter needs none"
        )
    unet = unet_of(model, spec)
    check_fit(spec, layer_map(unet))
    names = attention_names(unet)
    weights, targets = named_lora(adapter.lora, names)
    twin = _same_lora(model, weights, targets)
    patched = model.clone()
    applied = add_own_lora(patched, comfy.lora.load_lora(weights, targets, log_missing=False), strength, scales=True)
    if len(applied) != len(targets):
        raise ModelMismatchError(
            f"{spec.file}: its LoRA fits {len(applied)} of the {len(targets)} attention weights of the model: load a "
            f"{spec.base.value} checkpoint"
        )
    said = f"LoRA of rank {spec.lora_rank} from {spec.file} on {len(applied)} weights at {strength:g}"
    return Patched(patched, f"{said}\n{twin}" if twin else said)


def attention_names(unet: UNetModel) -> tuple[str, ...]:
    """The names of the UNet's attention modules in the order of diffusers' processors: attn1 and attn2 of each block of the
    input blocks, the output blocks, then the middle block.
    """
    blocks = [
        (f"{part}_blocks.{number}.{place}.transformer_blocks.{depth}", block)
        for part, sequences in (("input", unet.input_blocks), ("output", unet.output_blocks))
        for number, sequence in enumerate(sequences)
        for place, depth, block in _transformer_blocks(sequence)
    ]
    blocks += [
        (f"middle_block.{place}.transformer_blocks.{depth}", block)
        for place, depth, block in _transformer_blocks(unet.middle_block or ())
    ]
    return tuple(f"{name}.{part}" for name, _ in blocks for part in ("attn1", "attn2"))


def named_lora(lora: Mapping[str, Tensor], names: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The LoRA in the naming that ComfyUI reads, and the model weight that each of its names stands for."""
    weights: dict[str, Tensor] = {}
    targets: dict[str, str] = {}
    for number, name in enumerate(names):
        if f"ip_adapter.{number}.to_q_lora.down.weight" not in lora:  # ID-Animator's leaves self-attention as it is
            continue
        for part, module in PARTS.items():
            key = f"{name}.{module}"
            targets[key] = f"diffusion_model.{key}.weight"
            for way in ("down", "up"):
                weights[f"{key}.lora_{way}.weight"] = lora[f"ip_adapter.{number}.{part}_lora.{way}.weight"]
    return weights, targets


def _transformer_blocks(sequence: Iterable[nn.Module]) -> list[tuple[int, int, BasicTransformerBlock]]:
    return [
        (place, depth, block)
        for place, transformer in enumerate(sequence)
        if isinstance(transformer, SpatialTransformer)
        for depth, block in enumerate(transformer.transformer_blocks)
    ]


def _same_lora(model: ModelPatcher, weights: Mapping[str, Tensor], targets: Mapping[str, str]) -> str:
    """A sentence when the model already carries this very LoRA, from its separate file or from here; else nothing."""
    name, target = next(iter(targets.items()))
    up = weights[f"{name}.lora_up.weight"]
    for patch in model.patches.get(target, []):
        there = getattr(patch[1], "weights", None)
        found = there[0] if there else None
        if isinstance(found, Tensor) and found.shape == up.shape and _close(found, up):
            return (
                f"the model carries the same LoRA already, at {patch[0]:g}: both add up; remove the separate LoRA loader "
                "or this node"
            )
    return ""


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal but for the rounding of a file in half precision."""
    one, other = one.float().cpu(), other.float().cpu()
    length = cast(Any, torch.linalg).vector_norm  # which has no types
    return bool(length(one - other) <= 1e-2 * length(other))
