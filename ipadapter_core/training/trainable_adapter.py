"""A trainable adapter on a frozen UNet: decoupled cross-attention as ComfyUI's own attn2 replacement patches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from comfy.ldm.modules.attention import CrossAttention, SpatialTransformer, optimized_attention
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ..adapter.layers import KeyValueLayer
from ..adapter.network import Adapter
from ..attention.image_attention import image_attention
from ..checkpoint.enums import BaseModel, Feature, FormatName, ProjectorKind
from ..checkpoint.spec import AdapterSpec, FileNumber, LayerSpec, ProjectorSpec
from ..patchers.families.unet import layer_map
from ..sampling.application import Block


@dataclass(frozen=True)
class TrainedLayer:
    """A cross-attention of the UNet: its number in adapter files, its address for patches, and the module."""

    number: FileNumber
    block: Block
    attention: CrossAttention


def trained_layers(unet: UNetModel) -> tuple[TrainedLayer, ...]:
    """The UNet's cross-attentions in the order of adapter files, as `layer_map` gives it."""
    blocks = [layer.block for layer in layer_map(unet)]
    return tuple(
        TrainedLayer(FileNumber(2 * index + 1), block, _attention(unet, block)) for index, block in enumerate(blocks)
    )


def _attention(unet: UNetModel, block: Block) -> CrossAttention:
    part, number, depth = block
    sequence = unet.middle_block or () if part == "middle" else getattr(unet, f"{part}_blocks")[number]
    transformer = next(module for module in sequence if isinstance(module, SpatialTransformer))
    attention = transformer.transformer_blocks[depth].attn2
    assert attention is not None
    return attention


def new_adapter(layers: tuple[TrainedLayer, ...], feature_width: int, tokens: int, name: str) -> Adapter:
    """An adapter with the linear projector, its keys and values started from the text's.

    Ye et al. 2023 start from the text's projections too: image tokens then only have to learn to look like text.
    """
    context_width = layers[0].attention.to_k.weight.shape[1]
    spec = AdapterSpec(
        file=name,
        format=FormatName.BASE,
        base=BaseModel.OTHER,
        projector=ProjectorSpec(ProjectorKind.LINEAR, Feature.POOLED, feature_width, context_width, tokens),
        layers=tuple(LayerSpec(layer.number, layer.attention.to_k.weight.shape[0]) for layer in layers),
        text_width=context_width,
    )
    adapter = Adapter(spec, torch.nn)
    with torch.no_grad():
        for layer in layers:
            projections = adapter.numbered_layer(layer.number)
            assert isinstance(projections, KeyValueLayer)
            projections.to_k_ip.weight.copy_(layer.attention.to_k.weight)
            projections.to_v_ip.weight.copy_(layer.attention.to_v.weight)
    return adapter


@dataclass(frozen=True)
class DecoupledAttention:
    """A replacement patch: the text's attention plus the image's, gradients included."""

    key: Tensor  # (B, N, D)
    value: Tensor  # (B, N, D)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: Mapping[str, Any]) -> Tensor:
        heads = options["n_heads"]
        text = optimized_attention(query, key, value, heads, attn_precision=options.get("attn_precision"))
        return text + image_attention(query, self.key.to(query), self.value.to(query), heads)


def with_image(adapter: Adapter, layers: tuple[TrainedLayer, ...], features: Tensor) -> dict[str, Any]:
    """The `transformer_options` under which the UNet sees image features (B, E)."""
    tokens = adapter.image_tokens(features)
    patches = {layer.block: DecoupledAttention(*adapter.key_value(layer.number, tokens)) for layer in layers}
    return {"patches_replace": {"attn2": patches}}


@dataclass(frozen=True)
class DropoutRates:
    """How often a training example loses its image, its text, or both, so that guidance has something to compare."""

    image: float = 0.08
    text: float = 0.08
    both: float = 0.08

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which examples keep their image and which keep their text: two (B) bool."""
        chance = torch.rand(count, generator=generator)
        both = chance < self.both
        image = both | ((chance >= self.both) & (chance < self.both + self.image))
        text = both | ((chance >= self.both + self.image) & (chance < self.both + self.image + self.text))
        return ~image, ~text


def drop_images(features: Tensor, kept: Tensor) -> Tensor:
    """Zero features where the image is not kept: what this adapter's unconditional half sees when sampling."""
    return features * kept[:, None].to(features)
