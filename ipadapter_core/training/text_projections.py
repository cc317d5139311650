"""A model's own projections of its text to keys and values: what a new adapter's begin as, layer by layer.

Ye et al. 2023 begin there, too: image tokens then only have to learn to look like text.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import comfy.ops
from comfy.ldm.anima.model import Anima
from comfy.ldm.chroma.model import Chroma
from comfy.ldm.flux.model import Flux
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ..errors import TrainingError
from ..patchers.families.unet import layer_map
from ..quoting import quoted
from ..sampling.application import Block


class TextLayer(NamedTuple):
    """What one layer makes keys and values of its text with: weights (D, C), and norms by their names in files."""

    key: Tensor
    value: Tensor
    norms: tuple[tuple[str, Tensor], ...] = ()


def text_layers(network: nn.Module) -> tuple[TextLayer, ...]:
    """The layers of a network in the order of an adapter's. Raises `TrainingError` where their weights cannot be read."""
    read = next(read for kind, read in FAMILIES.items() if isinstance(network, kind))
    return read(network)


def _of_unet(unet: UNetModel) -> tuple[TextLayer, ...]:
    found = [_cross_attention(unet, layer.block) for layer in layer_map(unet)]
    return tuple(TextLayer(_weights(one.to_k), _weights(one.to_v)) for one in found)


def _cross_attention(unet: UNetModel, block: Block) -> Any:
    part, number, depth = block
    sequence: Any = unet.middle_block or () if part == "middle" else getattr(unet, f"{part}_blocks")[number]
    transformer = next(module for module in sequence if isinstance(module, SpatialTransformer))
    return transformer.transformer_blocks[depth].attn2


def _of_flux(network: Flux | Chroma) -> tuple[TextLayer, ...]:
    """Through the projection of the text into the model, as long as the model's are after its norms, which adapters lack."""
    within = _weights(network.txt_in)
    found: list[TextLayer] = []
    for block in network.double_blocks:
        _, key, value = _weights(block.txt_attn.qkv).chunk(3)
        norm = block.txt_attn.norm.key_norm
        gain = getattr(norm, "scale", None)
        length = _plain(norm.weight if gain is None else gain).square().mean().sqrt()
        keys, values = key @ within, value @ within
        found.append(TextLayer(keys * (length / _length(keys)), values * (_length(value) / _length(values))))
    return tuple(found)


def _of_mmdit(network: MMDiT) -> tuple[TextLayer, ...]:
    found: list[TextLayer] = []
    for block in network.joint_blocks:
        _, key, value = _weights(block.context_block.attn.qkv).chunk(3)
        image, text = block.x_block.attn, block.context_block.attn
        norms = (("norm_q", image.ln_q), ("norm_k", image.ln_k), ("norm_ip_k", text.ln_k))
        found.append(TextLayer(key, value, tuple((name, _plain(norm.weight)) for name, norm in norms)))
    return tuple(found)


def _of_anima(network: Anima) -> tuple[TextLayer, ...]:
    blocks = [block.cross_attn for block in network.blocks]
    return tuple(TextLayer(_weights(one.k_proj), _weights(one.v_proj)) for one in blocks)


FAMILIES: dict[type[nn.Module], Callable[[Any], tuple[TextLayer, ...]]] = {
    UNetModel: _of_unet,
    Flux: _of_flux,
    Chroma: _of_flux,
    MMDiT: _of_mmdit,
    Anima: _of_anima,
}


def _weights(layer: Any) -> Tensor:
    """A linear layer's weight (D, C) in float32, wherever and however ComfyUI keeps it."""
    weight, _ = comfy.ops.cast_bias_weight(layer, None, torch.float32, torch.device("cpu"), torch.float32)
    wanted, dtype = (layer.out_features, layer.in_features), layer.weight.dtype
    if tuple(weight.shape) != wanted or not weight.is_floating_point():
        raise TrainingError(
            f"the model's text projections are {list(weight.shape)} of {quoted(dtype)}, expected {list(wanted)} in "
            "floating point: the model looks quantised; load it in bf16, fp16 or fp8 for New IP-Adapter"
        )
    return _plain(weight)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True)


def _length(rows: Tensor) -> Tensor:
    """The root mean square length of a matrix's rows."""
    return rows.square().sum(dim=1).mean().sqrt()
