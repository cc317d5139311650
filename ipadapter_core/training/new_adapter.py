"""A new adapter for a model and an image encoder: sizes by the recipe of the published ones, weights as their papers begin.

Sources: Ye et al. 2023, "IP-Adapter" (linear projector and resampler); XLabs-AI/x-flux; InstantX/SD3.5-Large-IP-Adapter;
sorryhyun/anima_lora (perceiver).
"""

from dataclasses import replace
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import nn

from comfy.ldm.anima.model import Anima
from comfy.ldm.chroma.model import Chroma
from comfy.ldm.flux.model import Flux
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ..adapter.managed import ManagedAdapter
from ..adapter.network import Adapter
from ..adapter.projectors.perceiver import JointAttention
from ..checkpoint.detect import detect
from ..checkpoint.enums import BaseModel, Feature, FormatName, LayerKind, ProjectorKind
from ..checkpoint.spec import AdapterSpec, FileNumber, LayerSpec, ProjectorSpec
from ..encoders.features import width_of
from ..encoders.image_encoder import ImageEncoder
from ..errors import TrainingError
from ..patchers.apply import fitting_blocks
from .live_adapter import managed_network
from .text_projections import TextLayer, text_layers

HEAD_WIDTH = 64  # of every resampler's heads
WIDEST = 1280  # of a resampler by the recipe: that of SDXL's
PERCEIVER_HEADS = 8
BEGINNING = 0.1  # what a factor of its own, where an adapter's layers have one, multiplies their output by at first
NAME = "a new IP-Adapter"


class Size(str, Enum):
    """How much of an image an adapter reads."""

    BASE = "base, 4 tokens"
    PLUS = "plus, 16 tokens"


class Numbers(NamedTuple):
    """Sizes that are set by hand; 0 leaves one to the recipe."""

    tokens: int = 0
    width: int = 0
    depth: int = 0


class Recipe(NamedTuple):
    """What a family's adapters are made of: projector, feature, layers, and the number of the first layer and between two."""

    projector: ProjectorKind
    feature: Feature
    layers: LayerKind
    first: int
    step: int


TOKENS = {Size.BASE: 4, Size.PLUS: 16}
UNET_BASE = Recipe(ProjectorKind.LINEAR, Feature.POOLED, LayerKind.PLAIN, 1, 2)
UNET_PLUS = Recipe(ProjectorKind.RESAMPLER, Feature.HIDDEN, LayerKind.PLAIN, 1, 2)
FLUX = Recipe(ProjectorKind.LINEAR, Feature.POOLED, LayerKind.BIASED, 0, 1)
SD3 = Recipe(ProjectorKind.TIME_RESAMPLER, Feature.HIDDEN, LayerKind.JOINT, 0, 1)
ANIMA = Recipe(ProjectorKind.PERCEIVER, Feature.PERCEPTION, LayerKind.SCALED, 0, 1)
RECIPES: dict[type[nn.Module], dict[Size, Recipe]] = {
    UNetModel: {Size.BASE: UNET_BASE, Size.PLUS: UNET_PLUS},
    Flux: dict.fromkeys(Size, FLUX),
    Chroma: dict.fromkeys(Size, FLUX),
    MMDiT: dict.fromkeys(Size, SD3),
    Anima: dict.fromkeys(Size, ANIMA),
}


def new_adapter(
    model: ModelPatcher, encoder: ImageEncoder, size: Size, numbers: Numbers | None = None, seed: int = 0
) -> ManagedAdapter:
    """An adapter that has learned nothing yet: keys and values as the model makes them of its text, the rest at random.

    Raises `TrainingError` where no kind of adapter is known for the model or the numbers do not go together,
    `EncoderMismatchError` where the encoder does not make what that kind reads.
    """
    network: nn.Module = model.get_model_object("diffusion_model")
    recipe = next((sizes[size] for kind, sizes in RECIPES.items() if isinstance(network, kind)), None)
    if recipe is None:
        raise TrainingError(
            f"the model is {type(model.model).__name__}, for which no kind of IP-Adapter is known; expected SD1.5, SDXL or "
            "another UNet, FLUX.1, Chroma, SD3.5 or Anima: load one of those for New IP-Adapter"
        )
    layers = text_layers(network)
    feature_width = width_of(encoder, recipe.feature)
    random: Any = torch.random  # which has no types in PyTorch
    with torch.inference_mode(False), random.fork_rng(devices=[]):
        random.manual_seed(seed)
        drawn = _begun(_spec(recipe, size, numbers or Numbers(), layers, feature_width), layers)
        weights = drawn.state_dict()
        spec = detect({key: tuple(tensor.shape) for key, tensor in weights.items()}, NAME)
        fitting_blocks(model, spec)
        return managed_network(spec, weights)


def _spec(
    recipe: Recipe, size: Size, numbers: Numbers, layers: tuple[TextLayer, ...], feature_width: int
) -> AdapterSpec:
    context = layers[0].key.shape[1]
    resampler = recipe.projector in (ProjectorKind.RESAMPLER, ProjectorKind.TIME_RESAMPLER)
    width = numbers.width or _recipe_width(recipe, context)
    unit = HEAD_WIDTH if resampler else PERCEIVER_HEADS
    if recipe.projector is not ProjectorKind.LINEAR and width % unit:
        raise TrainingError(
            f"found a projector's width of {width}, expected a multiple of {unit}, the size of its heads: change width of New "
            "IP-Adapter, or set it to 0"
        )
    projector = ProjectorSpec(
        recipe.projector, recipe.feature, feature_width, context, tokens=numbers.tokens or TOKENS[size], width=width,
        heads=width // HEAD_WIDTH if resampler else PERCEIVER_HEADS, depth=numbers.depth or (4 if resampler else 2),
        time_width=320 if recipe.projector is ProjectorKind.TIME_RESAMPLER else 0,
    )  # fmt: skip
    numbered = (
        LayerSpec(FileNumber(recipe.first + recipe.step * place), layer.key.shape[0])
        for place, layer in enumerate(layers)
    )
    plain = AdapterSpec(NAME, FormatName.BASE, BaseModel.OTHER, projector, tuple(numbered), context)
    return replace(plain, layer_kind=recipe.layers)


def _recipe_width(recipe: Recipe, context: int) -> int:
    """As wide as the text, up to a limit, in whole heads: 768 for SD1.5, 1280 for SDXL."""
    unit = PERCEIVER_HEADS if recipe.projector is ProjectorKind.PERCEIVER else HEAD_WIDTH
    return max(unit, min(WIDEST, context) // unit * unit)


def _begun(spec: AdapterSpec, layers: tuple[TextLayer, ...]) -> Adapter:
    """The network of a description with its first weights."""
    network = Adapter(spec, torch.nn)
    with torch.no_grad():
        for name, parameter in network.image_proj.named_parameters():
            if name in ("latents", "queries"):
                parameter.normal_().mul_(parameter.shape[-1] ** -0.5)
        for module in network.image_proj.modules():
            if isinstance(module, JointAttention):
                nn.init.xavier_uniform_(module.in_proj_weight)
                module.in_proj_bias.zero_()
        for place, layer in enumerate(layers):
            own = dict(network.layer_at(place).named_parameters())
            given = {"to_k_ip.weight": layer.key, "to_v_ip.weight": layer.value}
            given |= {f"{name}.weight": norm for name, norm in layer.norms}
            for name, parameter in own.items():
                if name.startswith("norm_ip."):
                    parameter.zero_()
                elif name == "ip_gate":
                    parameter.fill_(BEGINNING)
                else:
                    first = given.get(name)
                    parameter.zero_() if first is None else parameter.copy_(first)
    return network
