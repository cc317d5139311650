"""The LoRAs that came with adapters, kept apart from those of other nodes: what was added can be scaled or taken out again."""

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from comfy.model_patcher import ModelPatcher

OWN_LORAS = "ipadapter_core_loras"  # ComfyUI's name for what it keeps with a model and its clones


class OwnLora(NamedTuple):
    """The weight patches of one LoRA; `scales` where its strength goes with that of the image prompts."""

    patches: tuple[Any, ...]
    scales: bool


def add_own_lora(model: ModelPatcher, loaded: Mapping[str, Any], strength: float, scales: bool) -> list[str]:
    """Adds a LoRA to the very `model` and remembers whose it is; returns the weights that it fits."""
    applied = model.add_patches(loaded, strength)
    model.set_attachments(OWN_LORAS, (*_own(model), OwnLora(tuple(loaded.values()), scales)))
    return applied


def scale_own_loras(model: ModelPatcher, factor: float) -> None:
    """Multiplies the strengths of the very `model`'s LoRAs that go with its image prompts; 0 takes out all that are ours."""
    factors = {id(patch): factor for lora in _own(model) if lora.scales or factor == 0 for patch in lora.patches}
    if not factors:
        return
    for key, entries in list(model.patches.items()):
        kept = [(strength * factors.get(id(patch), 1), patch, *rest) for strength, patch, *rest in entries
                if factors.get(id(patch), 1) != 0]  # fmt: skip
        if kept:
            model.patches[key] = kept
        else:
            del model.patches[key]
    if factor == 0:
        model.set_attachments(OWN_LORAS, ())
    model.patches_uuid = uuid.uuid4()  # by which ComfyUI sees that the weights are others


def _own(model: ModelPatcher) -> tuple[OwnLora, ...]:
    return model.get_attachment(OWN_LORAS) or ()
