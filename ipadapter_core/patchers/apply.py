"""From a model, an adapter and an image prompt to a patched clone of the model."""

from dataclasses import replace

from torch import Tensor, nn

from comfy.ldm.chroma_radiance.model import ChromaRadiance
from comfy.model_patcher import ModelPatcher

from ..application import Application, Block, LiveAdapter, LiveReference, Strength, WeightedBank
from ..checkpoint.spec import BaseModel, LayerKind
from ..errors import ImagePromptError, ModelMismatchError
from ..host import ManagedAdapter
from ..image_prompt import ImagePrompt, Reference
from ..weights.layers import LayerWeight
from . import anima, flux, sd3, unet
from .sampling import add_application

FAMILIES = {
    BaseModel.SD15: unet,
    BaseModel.SDXL: unet,
    BaseModel.OTHER: unet,
    BaseModel.FLUX: flux,
    BaseModel.SD35_LARGE: sd3,
    BaseModel.ANIMA: anima,
}
NOT_MEANT = (ChromaRadiance,)  # built on a class that fits, but on pixels
WITHOUT_WEIGHTS = {  # by the start of the name of ComfyUI's model class
    "Flux2": "the model's own reference images (ReferenceLatent)",
    "WAN": "WanImageToVideo's clip_vision_output, WanVaceToVideo or WanPhantomSubjectToVideo",
    "QwenImage": "TextEncodeQwenImageEditPlus with a Qwen-Image-Edit checkpoint",
    "Lumina2": "a LoRA, or TextEncodeZImageOmni with a Z-Image-Omni checkpoint,",
    "ZImage": "a LoRA of the subject or style",
    "Krea2": "ReferenceLatent with Krea 2's style reference LoRA",
}


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
    others together. Raises `ModelMismatchError` or `ImagePromptError` when the three do not belong together.
    """
    blocks = _fitting_blocks(model, adapter, prompt)
    family = FAMILIES[adapter.spec.base]
    patched = model.clone()
    for references, region in _groups(prompt.references, mask):
        active = tuple(reference for reference in references if reference.weight != 0)
        if not active or strength.weight == 0 or (region is not None and not region.any()):
            continue
        region = None if region is None or bool((region == 1).all()) else region
        application = _application(adapter, blocks, active, strength, region, per_frame)
        if hasattr(family, "prepare"):
            patched = family.prepare(patched, adapter)
        patched = add_application(patched, application, family.compose)
    return patched


def _fitting_blocks(model: ModelPatcher, adapter: ManagedAdapter, prompt: ImagePrompt) -> tuple[Block, ...]:
    blocks = FAMILIES[adapter.spec.base].blocks_for(adapter.spec, _network(model, adapter))
    wanted = adapter.spec.projector
    width = prompt.references[0].image.features.shape[-1]
    if (prompt.feature, width) != (wanted.feature, wanted.feature_width):
        raise ImagePromptError(
            f"the image prompt was encoded by {prompt.encoder} as {prompt.feature.value} of width {width}, but "
            f"{adapter.spec.file} needs {wanted.feature.value} of width {wanted.feature_width} ({adapter.spec.encoder}): "
            "give Encode Reference Image the same IP-Adapter as Apply IP-Adapter"
        )
    return blocks


def _network(model: ModelPatcher, adapter: ManagedAdapter) -> nn.Module:
    network = model.get_model_object("diffusion_model")
    family = FAMILIES[adapter.spec.base]
    name = type(model.model).__name__
    instead = next((advice for start, advice in WITHOUT_WEIGHTS.items() if name.startswith(start)), None)
    if instead is not None:
        raise ModelMismatchError(
            f"the model is {name}, for which nobody has published IP-Adapter weights: use {instead} instead of Apply IP-Adapter"
        )
    if not isinstance(network, family.MODELS) or type(network) in NOT_MEANT:
        raise ModelMismatchError(
            f"{adapter.spec.file} is for {adapter.spec.base.value}, but the model is {name}: load a checkpoint that fits, or "
            "another file in Load IP-Adapter"
        )
    return network


def _application(
    adapter: ManagedAdapter,
    blocks: tuple[Block, ...],
    references: tuple[Reference, ...],
    strength: Strength,
    mask: Tensor | None,
    per_frame: bool,
) -> Application:
    """One application: keys and values made beforehand, and what has to stay loaded where a part depends on the step."""
    kind = adapter.spec.layer_kind
    live = None
    banks: tuple[WeightedBank, ...] = ()
    if kind is LayerKind.JOINT:
        live = LiveAdapter(
            adapter.patcher,
            tuple(LiveReference(one.image.features, one.image.negative, one.weight) for one in references),
        )
    else:
        banks = tuple(WeightedBank(adapter.bank(one.image), one.weight) for one in references)
    if kind is LayerKind.GATED:
        live = LiveAdapter(adapter.patcher)
    layers = tuple(LayerWeight() for _ in blocks)
    return Application(blocks, banks, layers, strength, mask, per_frame, live)


def _groups(
    references: tuple[Reference, ...], mask: Tensor | None
) -> list[tuple[tuple[Reference, ...], Tensor | None]]:
    """References that are attended to together, each group with the mask that it acts under."""
    free = tuple(reference for reference in references if reference.mask is None)
    confined = [reference for reference in references if reference.mask is not None]
    groups: list[tuple[tuple[Reference, ...], Tensor | None]] = [(free, mask)] if free else []
    return groups + [((replace(one, mask=None),), _both(one.mask, mask)) for one in confined]


def _both(own: Tensor | None, common: Tensor | None) -> Tensor | None:
    if own is None or common is None:
        return own if common is None else common
    size = own.shape[-2:]
    fitted = nn.functional.interpolate(common[:, None], size, mode="bilinear", antialias=True)[:, 0]
    return own * fitted
