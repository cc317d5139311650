"""Every model family in one table: a miniature model, an adapter for it and an image prompt. A new family is one row here."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pytest
from pack.ipadapter_core.adapter.managed import ManagedAdapter
from pack.ipadapter_core.prompt.features import Features
from pack.ipadapter_core.prompt.image_prompt import ImagePrompt
from pack.tests.oracles.recorded_passes import WIDTH, short_model
from pack.tools.miniature.instant_character import character_features, character_weights, instant_character
from pack.tools.miniature.lynx import lynx_full, lynx_lite
from pack.tools.miniature.models import adapter_weights, widths_of
from pack.tools.miniature.pulid import face_features, pulid_flux
from pack.tools.miniature.pulid_sdxl import pulid_v1, pulid_v1_1
from pack.tools.miniature.transformers import (
    Call,
    adapter,
    instantx_flux,
    instantx_sd3,
    lucifer,
    noise,
    perceiver,
    prompt_for,
    some_call,
    tiny_transformer,
    weights_of,
    xlabs,
)
from torch import Tensor

from comfy.model_patcher import ModelPatcher

UNET = "UNet"
LORA = 0.2  # how strong a LoRA inside a miniature file is


class Row(NamedTuple):
    """A kind of model by its name in `tools/miniature`, an adapter's weights, and its features: their shape, or what makes
    them of a seed.
    """

    model: str
    weights: Callable[[], dict[str, Tensor]]
    features: tuple[int, ...] | Callable[[int], Features]


class World(NamedTuple):
    """What stands in a row, made."""

    name: str
    model: ModelPatcher
    adapter: ManagedAdapter
    prompt: ImagePrompt


def _of_shapes(shapes: dict[str, tuple[int, ...]]) -> Callable[[], dict[str, Tensor]]:
    def weights() -> dict[str, Tensor]:
        return {key: one * (LORA if key.startswith("lora") else 1) for key, one in weights_of(shapes).items()}

    return weights


def _of_layers(shapes: Callable[[list[int], int], dict[str, tuple[int, ...]]]) -> Callable[[], dict[str, Tensor]]:
    return lambda: weights_of(shapes(widths_of(short_model()), WIDTH))


def _of_unet(kind: str) -> Callable[[], dict[str, Tensor]]:
    return lambda: adapter_weights(kind, widths_of(short_model()), WIDTH)


FAMILIES = {
    "UNet base": Row(UNET, _of_unet("base"), (64,)),
    "UNet plus": Row(UNET, _of_unet("plus"), (9, 64)),
    "UNet PuLID v1": Row(UNET, _of_layers(pulid_v1), face_features),
    "UNet PuLID v1.1": Row(UNET, _of_layers(pulid_v1_1), face_features),
    "FLUX XLabs": Row("FLUX", _of_shapes(xlabs(2, 256, 64)), (48,)),
    "FLUX InstantX": Row("FLUX", _of_shapes(instantx_flux(5, 256, 64)), (48,)),
    "FLUX PuLID": Row("FLUX", _of_shapes(pulid_flux(2, 256)), face_features),
    "Chroma PuLID": Row("Chroma", _of_shapes(pulid_flux(2, 256)), face_features),
    "Chroma InstantX": Row("Chroma", _of_shapes(instantx_flux(5, 256, 64)), (48,)),
    "FLUX InstantCharacter": Row("FLUX", lambda: character_weights(instant_character(5, 256)), character_features),
    "Chroma InstantCharacter": Row("Chroma", lambda: character_weights(instant_character(5, 256)), character_features),
    "SD3.5 InstantX": Row("SD3", _of_shapes(instantx_sd3(3, 192)), (9, 48)),
    "Anima LuciferTC": Row("Anima", _of_shapes(lucifer(3, 128)), (9, 48)),
    "Anima PE-Core": Row("Anima", _of_shapes(perceiver(3, 128)), (9, 48)),
    "Wan Lynx lite": Row("Wan", _of_shapes(lynx_lite()), (512,)),
    "Wan Lynx full": Row("Wan", _of_shapes(lynx_full()), (512,)),
}
TRANSFORMERS = tuple(case for case, row in FAMILIES.items() if row.model != UNET)
every_family = pytest.mark.parametrize("case", FAMILIES)


@cache
def world(case: str) -> World:
    """A model, an adapter, and a prompt of one image."""
    row = FAMILIES[case]
    ip_adapter = adapter(row.weights())
    model = short_model() if row.model == UNET else tiny_transformer(row.model)
    return World(row.model, model, ip_adapter, prompt_for(ip_adapter, features_of(case, 8)))


def other_prompt(case: str, seed: int = 11) -> ImagePrompt:
    """A prompt of another image."""
    return prompt_for(world(case).adapter, features_of(case, seed))


def features_of(case: str, seed: int) -> Features:
    """Seeded features as a row's adapter reads them."""
    given = FAMILIES[case].features
    return noise(1, *given, seed=seed) if isinstance(given, tuple) else given(seed)


def call_of(case: str, size: tuple[int, int] = (8, 6), images: int = 1) -> Call:
    """Inputs of a model call: images, with their positive and their negative pass."""
    name = FAMILIES[case].model
    call = some_call("Chroma" if name == UNET else name, 2 * images, size)
    return call._replace(arguments={"context": noise(2 * images, 7, WIDTH, seed=6)}) if name == UNET else call
