"""From a model, an adapter and an image prompt to a patched clone of the model."""

import torch
from torch import Tensor, nn

from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ..application import Application, Block, Strength, WeightedBank
from ..errors import ImagePromptError, ModelMismatchError
from ..host import ManagedAdapter
from ..image_prompt import ImagePrompt, Reference
from ..masks import intersection, resized
from ..weights.layers import LayerWeights
from .sampling import add_application
from .unet import check_fit, compose, layer_map


def apply_image_prompt(
    model: ModelPatcher,
    adapter: ManagedAdapter,
    prompt: ImagePrompt,
    strength: Strength,
    mask: Tensor | None = None,
    per_frame: bool = False,
    layer_weights: LayerWeights | None = None,
) -> ModelPatcher:
    """A clone of `model` that attends to the prompt's references; the model that went in stays as it was.

    `mask` (M, H, W) confines the effect to a part of the canvas. References under one mask, or under none, are attended to
    together, and those under different masks are added up; a reference of weight 0 is not there. With `per_frame`,
    reference i acts on picture i of the batch only, and the last one on all that follow.
    Raises `ModelMismatchError`, `ImagePromptError` or `WeightError` when they do not belong together.
    """
    blocks = _fitting_blocks(model, adapter, prompt)
    layers = (layer_weights or LayerWeights()).resolve(blocks)
    patched = model.clone()
    for references, own in _frames(prompt.references) if per_frame else _groups(prompt.references):
        region = own if mask is None else mask if own is None else intersection(own, mask)
        silent = strength.weight == 0 or all(reference.weight == 0 for reference in references)
        if silent or (region is not None and not region.any()):
            continue
        banks = tuple(WeightedBank(adapter.bank(reference.image), reference.weight) for reference in references)
        region = None if region is None or bool((region == 1).all()) else region
        application = Application(blocks, banks, layers, strength, region, per_frame)
        patched = add_application(patched, application, compose)
    return patched


def _fitting_blocks(model: ModelPatcher, adapter: ManagedAdapter, prompt: ImagePrompt) -> tuple[Block, ...]:
    unet = _unet(model, adapter)
    layers = layer_map(unet)
    check_fit(adapter.spec, layers)
    wanted = adapter.spec.projector
    width = prompt.references[0].image.features.shape[-1]
    if (prompt.feature, width) != (wanted.feature, wanted.feature_width):
        raise ImagePromptError(
            f"the image prompt was encoded by {prompt.encoder} as {prompt.feature.value} of width {width}, but "
            f"{adapter.spec.file} needs {wanted.feature.value} of width {wanted.feature_width} ({adapter.spec.encoder}): "
            "give Encode Reference Image the same IP-Adapter as Apply IP-Adapter"
        )
    return tuple(layer.block for layer in layers)


def _unet(model: ModelPatcher, adapter: ManagedAdapter) -> nn.Module:
    network = model.get_model_object("diffusion_model")
    if not isinstance(network, UNetModel):
        raise ModelMismatchError(
            f"{adapter.spec.file} is for {adapter.spec.base.value}, a UNet, but the model is "
            f"{type(model.model).__name__}: load a checkpoint that fits, or another file in Load IP-Adapter"
        )
    return network


Group = tuple[tuple[Reference, ...], Tensor | None]


def _groups(references: tuple[Reference, ...]) -> list[Group]:
    """References that are attended to together, each group with the mask that its references share."""
    groups: dict[int, list[Reference]] = {}
    for reference in references:
        if reference.weight != 0:
            groups.setdefault(id(reference.mask), []).append(reference)
    return [(tuple(group), group[0].mask) for group in groups.values()]


def _frames(references: tuple[Reference, ...]) -> list[Group]:
    """All references, one for each picture, with the mask of each picture's reference."""
    given = [reference.mask for reference in references if reference.mask is not None]
    if not given:
        return [(references, None)]
    size = (max(mask.shape[-2] for mask in given), max(mask.shape[-1] for mask in given))
    rows = []
    for index in range(max(len(references), *map(len, given))):
        mask = references[min(index, len(references) - 1)].mask
        own = given[0].new_ones(1, *size) if mask is None else mask[min(index, len(mask) - 1)].unsqueeze(0).float()
        rows.append(resized(own, size))
    return [(references, torch.cat(rows))]
