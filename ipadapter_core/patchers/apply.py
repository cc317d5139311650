"""From a model, an adapter and an image prompt to a patched clone of the model."""

import torch
from torch import Tensor, nn

from comfy.model_patcher import ModelPatcher

from ..application import Application, Strength, WeightedBank
from ..checkpoint.spec import AdapterSpec
from ..errors import ImagePromptError, ModelMismatchError
from ..features import leading
from ..host import ManagedAdapter
from ..image_prompt import ImagePrompt, Reference
from ..masks import CanvasMask, canvas_mask, product, sequence
from ..weights.layers import LayerWeight
from .sampling import add_application
from .unet import check_fit, compose, layer_map, own_layers, unet_of

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
    text_projection = _text_projection(model, adapter.spec)
    patched = model.clone()
    groups = _in_turn if per_frame and len(prompt.references) > 1 else _together
    for references, region in groups(prompt.references, None if mask is None else canvas_mask(mask)):
        if not any(reference.weight for reference in references) or strength.weight == 0:
            continue
        if region is not None and not region.values.any():
            continue
        banks = tuple(
            WeightedBank(adapter.bank(reference.image, text_projection), reference.weight) for reference in references
        )
        region = None if region is None or bool((region.values == 1).all()) else region
        application = Application(blocks, banks, layers, strength, region, groups is _in_turn)
        patched = add_application(patched, application, compose)
    return patched


def _fitting_layers(model: ModelPatcher, adapter: ManagedAdapter, prompt: ImagePrompt):
    unet = unet_of(model, adapter.spec)
    layers = layer_map(unet)
    check_fit(adapter.spec, layers)
    layers = own_layers(adapter.spec, layers)
    wanted = adapter.spec.projector
    width = leading(prompt.references[0].image.features).shape[-1]
    if (prompt.feature, width) != (wanted.feature, wanted.feature_width):
        raise ImagePromptError(
            f"the image prompt was encoded by {prompt.encoder} as {prompt.feature.value} of width {width}, but "
            f"{adapter.spec.file} needs {wanted.feature.value} of width {wanted.feature_width} ({adapter.spec.encoder}): "
            "give the encode node the same IP-Adapter as Apply IP-Adapter"
        )
    return tuple(layer.block for layer in layers), tuple(LayerWeight() for _ in layers)


def _text_projection(model: ModelPatcher, spec: AdapterSpec) -> nn.Module | None:
    """The model's own text projection, where the adapter's tokens have to pass it like its text does."""
    if spec.projector.context_width == spec.text_width:
        return None
    network = model.get_model_object("diffusion_model")
    layer = getattr(network, "encoder_hid_proj", None) or getattr(model.model, "encoder_hid_proj", None)
    if layer is None or layer.in_features != spec.projector.context_width:
        raise ModelMismatchError(
            f"{spec.file} sends its image tokens through the text projection (encoder_hid_proj) of {spec.base.value}, the "
            f"model has none of width {spec.projector.context_width}: load {spec.base.value} with a node that keeps it"
        )
    return layer


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
