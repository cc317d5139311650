"""From a model, an adapter and an image prompt to a patched clone of the model."""

from torch import Tensor, nn

from comfy.model_patcher import ModelPatcher

from ..adapter.managed import ManagedAdapter
from ..adapter.several_references import Banks, banks_of
from ..checkpoint.spec import AdapterSpec, BaseModel, LayerKind
from ..errors import ImagePromptError, ModelMismatchError
from ..masks.canvas_mask import canvas_mask
from ..masks.mask import Mask
from ..prompt.features import leading
from ..prompt.image_prompt import ImagePrompt, Reference
from ..sampling.application import Application, Block, LiveAdapter, LiveReference, Provenance
from ..sampling.identity_method import orthogonality
from ..sampling.strength import Strength
from ..weights.layer_weights import LayerWeight, LayerWeights
from .families.anima import ANIMA
from .families.family import Family
from .families.flux import FLUX
from .families.sd3 import SD3
from .families.unet import UNET
from .families.wan import WAN
from .hooks.wrappers import add_application
from .reference_groups import Group, groups_of

FAMILIES: dict[BaseModel, Family] = {
    BaseModel.SD15: UNET,
    BaseModel.SDXL: UNET,
    BaseModel.KOLORS: UNET,
    BaseModel.OTHER: UNET,
    BaseModel.FLUX: FLUX,
    BaseModel.SD35_LARGE: SD3,
    BaseModel.ANIMA: ANIMA,
    BaseModel.WAN: WAN,
}
NOT_MEANT = (  # built on a class that fits, but on pixels, or on keys of its own text that pass no hook
    "ChromaRadiance",
    "CausalWanModel",
)
WITHOUT_WEIGHTS = {  # by the start of the name of ComfyUI's model class
    "Flux2": "the model's own reference images (ReferenceLatent)",
    "QwenImage": "TextEncodeQwenImageEditPlus with a Qwen-Image-Edit checkpoint",
    "Lumina2": "a LoRA, or TextEncodeZImageOmni with a Z-Image-Omni checkpoint,",
    "ZImage": "a LoRA of the subject or style",
    "Krea2": "ReferenceLatent with Krea 2's style reference LoRA",
}
READ_AT_EACH_STEP = (LayerKind.JOINT, LayerKind.OWN_NORMS)  # layers whose image tokens change with the timestep


def apply_image_prompt(
    model: ModelPatcher,
    adapter: ManagedAdapter,
    prompt: ImagePrompt,
    strength: Strength,
    mask: Tensor | Mask | None = None,
    per_frame: bool = False,
    layer_weights: LayerWeights | None = None,
) -> ModelPatcher:
    """A clone of `model` that attends to the prompt's references; the model that went in stays as it was.

    `mask` (M, H, W) confines the effect to a part of the canvas. References under one mask, or under none, are attended to
    together, and those under different masks are added up, unless the adapter reads them in one softmax, each in its place;
    a reference of weight 0 is not there. With `per_frame` the
    references go to the images of the batch in turn, the last one to all that follow.
    Raises `ModelMismatchError`, `ImagePromptError` or `WeightError` when they do not belong together.
    """
    blocks = _fitting_blocks(model, adapter, prompt)
    family = FAMILIES[adapter.spec.base]
    _check_words(family, adapter.spec, prompt)
    layers = (layer_weights or LayerWeights()).resolve(blocks)
    text_projection = _text_projection(model, adapter.spec)
    patched = model.clone()
    apart = per_frame and len(prompt.references) > 1
    canvas = canvas_mask(mask) if isinstance(mask, Tensor) else mask
    for group in groups_of(prompt.references, canvas, adapter.spec.projector.overlap, apart):
        if group.silent or strength.weight == 0:
            continue
        application = _application(adapter, blocks, layers, prompt, strength, group, apart, text_projection)
        patched = add_application(family.prepare(patched, adapter), application, family.compose)
    return patched


def fitting_blocks(model: ModelPatcher, spec: AdapterSpec) -> tuple[Block, ...]:
    """Where each layer of an adapter acts in a model. Raises `ModelMismatchError` where they do not belong together."""
    return FAMILIES[spec.base].blocks_for(spec, _network(model, spec))


def _fitting_blocks(model: ModelPatcher, adapter: ManagedAdapter, prompt: ImagePrompt) -> tuple[Block, ...]:
    blocks = fitting_blocks(model, adapter.spec)
    wanted = adapter.spec.projector
    width = leading(prompt.references[0].image.features).shape[-1]
    if (prompt.feature, width) != (wanted.feature, wanted.feature_width):
        raise ImagePromptError(
            f"the image prompt was encoded by {prompt.encoder} as {prompt.feature.value} of width {width}, but "
            f"{adapter.spec.file} needs {wanted.feature.value} of width {wanted.feature_width} ({adapter.spec.encoder}): "
            "give the encode node the same IP-Adapter as Apply IP-Adapter"
        )
    return blocks


def _network(model: ModelPatcher, spec: AdapterSpec) -> nn.Module:
    network = model.get_model_object("diffusion_model")
    family = FAMILIES[spec.base]
    name = type(model.model).__name__
    instead = next((advice for start, advice in WITHOUT_WEIGHTS.items() if name.startswith(start)), None)
    if instead is not None:
        raise ModelMismatchError(
            f"the model is {name}, and this pack reads no IP-Adapter for it: use {instead} instead of Apply IP-Adapter"
        )
    if not isinstance(network, family.models) or type(network).__name__ in NOT_MEANT:
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value}, but the model is {name}: load a checkpoint that fits, or "
            "another file in Load IP-Adapter"
        )
    return network


def _check_words(family: Family, spec: AdapterSpec, prompt: ImagePrompt) -> None:
    if any(one.words for one in prompt.references) and not family.sees_text:
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value}, whose layers do not attend to the text alone, and a reference belongs to "
            "words: take Words for Reference out, it fits SD1.5, SDXL and other UNets, and use masks instead"
        )


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


def _application(
    adapter: ManagedAdapter,
    blocks: tuple[Block, ...],
    layers: tuple[LayerWeight, ...],
    prompt: ImagePrompt,
    strength: Strength,
    group: Group,
    per_frame: bool,
    text_projection: nn.Module | None,
) -> Application:
    """One application: keys and values made beforehand, and what has to stay loaded where a part depends on the step."""
    references = group.references
    kind = adapter.spec.layer_kind
    banks: Banks = ()
    if kind not in READ_AT_EACH_STEP:
        banks = banks_of(adapter, references, per_frame, text_projection)
    folding = adapter.folding() if kind is LayerKind.OWN else None
    words = tuple(one.words for one in (references if per_frame else references[:1]))
    return Application(
        blocks,
        banks,
        layers,
        strength,
        group.mask,
        per_frame,
        _live(adapter, references),
        Provenance(adapter.spec, prompt.with_references(references)),
        folding,
        words if any(words) else (),
        orthogonality(adapter.spec, strength.method, strength.zero_tokens),
        group.places,
    )


def _live(adapter: ManagedAdapter, references: tuple[Reference, ...]) -> LiveAdapter | None:
    """What stays loaded while sampling: adapters whose keys or gates depend on the step."""
    if adapter.spec.layer_kind is LayerKind.GATED:
        return LiveAdapter(adapter.patcher)
    if adapter.spec.layer_kind not in READ_AT_EACH_STEP:
        return None
    return LiveAdapter(
        adapter.stepping,
        tuple(LiveReference(*adapter.sides(one.image), one.weight) for one in references),
        apart=adapter.spec.layer_kind is not LayerKind.JOINT,
    )
