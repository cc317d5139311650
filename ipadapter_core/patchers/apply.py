"""From a model, an adapter and an image prompt to a patched clone of the model."""

import torch
from torch import Tensor, nn

from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ..application import Application, Strength, WeightedBank
from ..errors import ImagePromptError, ModelMismatchError
from ..host import ManagedAdapter
from ..image_prompt import ImagePrompt, Reference
from ..masks import CanvasMask, canvas_mask, product, sequence
from ..weights.layers import LayerWeight
from .sampling import add_application
from .unet import check_fit, compose, layer_map

WHOLE = canvas_mask(torch.ones(1, 1))


def apply_image_prompt(
    model: ModelPatcher,
    adapter: ManagedAdapter,
    prompt: ImagePrompt,
    strength: Strength,
    mask: Tensor | None = None,
    per_frame: bool = False,
) -> ModelPatcher:
    """A clone of `model` that attends to the prompt's references; the model that went in stays as it was.

    `mask` (M, H, W) confines the effect to a part of the canvas. References with a mask of their own act one by one, the
    others together; with `per_frame` the references go to the pictures of the batch in turn, the last one to all that
    follow. Raises `ModelMismatchError` or `ImagePromptError` when the three do not belong together.
    """
    blocks, layers = _fitting_layers(model, adapter, prompt)
    patched = model.clone()
    groups = _in_turn if per_frame and len(prompt.references) > 1 else _together
    for references, region in groups(prompt.references, None if mask is None else canvas_mask(mask)):
        if not any(reference.weight for reference in references) or strength.weight == 0:
            continue
        if region is not None and not region.values.any():
            continue
        banks = tuple(WeightedBank(adapter.bank(reference.image), reference.weight) for reference in references)
        region = None if region is None or bool((region.values == 1).all()) else region
        application = Application(blocks, banks, layers, strength, region, groups is _in_turn)
        patched = add_application(patched, application, compose)
    return patched


def _fitting_layers(model: ModelPatcher, adapter: ManagedAdapter, prompt: ImagePrompt):
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
    return tuple(layer.block for layer in layers), tuple(LayerWeight() for _ in layers)


def _unet(model: ModelPatcher, adapter: ManagedAdapter) -> nn.Module:
    network = model.get_model_object("diffusion_model")
    if not isinstance(network, UNetModel):
        raise ModelMismatchError(
            f"{adapter.spec.file} is for {adapter.spec.base.value}, a UNet, but the model is "
            f"{type(model.model).__name__}: load a checkpoint that fits, or another file in Load IP-Adapter"
        )
    return network


Group = tuple[tuple[Reference, ...], CanvasMask | None]


def _together(references: tuple[Reference, ...], mask: CanvasMask | None) -> list[Group]:
    """References that are attended to together, each group with the mask that it acts under."""
    acting = [reference for reference in references if reference.weight != 0]
    free = tuple(reference for reference in acting if reference.mask is None)
    groups: list[Group] = [(free, mask)] if free else []
    return groups + [((one,), _own(one, mask)) for one in acting if one.mask is not None]


def _in_turn(references: tuple[Reference, ...], mask: CanvasMask | None) -> list[Group]:
    """All references, one for each picture of the batch, with the mask of each."""
    if all(reference.mask is None for reference in references):
        return [(references, mask)]
    own = sequence([WHOLE if one.mask is None else canvas_mask(one.mask) for one in references])
    return [(references, own if mask is None else product(own, mask))]


def _own(reference: Reference, mask: CanvasMask | None) -> CanvasMask | None:
    own = canvas_mask(reference.mask)
    return own if mask is None else product(own, mask)
