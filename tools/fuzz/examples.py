"""Right files in miniature, which the fuzzer breaks."""

import io
import json
from typing import Any

import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.tools.miniature.faces import weights_of
from pack.tools.miniature.instant_character import character_weights, instant_character
from pack.tools.miniature.lynx import lynx_full, lynx_lite
from pack.tools.miniature.models import adapter_weights, randomise
from pack.tools.miniature.pulid import pulid_flux
from pack.tools.miniature.pulid_sdxl import pulid_v1
from pack.tools.miniature.transformers import instantx_flux, lucifer, perceiver, xlabs
from pack.tools.miniature.transformers import weights_of as transformer_weights

WIDTHS = [32, 64, 32]
ADAPTERS: list[dict[str, torch.Tensor]] = [
    adapter_weights("base", WIDTHS, 96),
    adapter_weights("plus", WIDTHS, 96),
    adapter_weights("full face", WIDTHS, 96),
    weights_of("FaceID", WIDTHS, 96, lora=True),
    weights_of("FaceID Plus", WIDTHS, 96),
    transformer_weights(xlabs(2, 128, 64)),
    transformer_weights(instantx_flux(2, 128, 64)),
    transformer_weights(lucifer(2, 128)),
    transformer_weights(perceiver(2, 128)),
    transformer_weights(pulid_flux(2, 128)),
    transformer_weights(pulid_v1(WIDTHS, 96)),
    transformer_weights(lynx_lite()),
    transformer_weights(lynx_full()),
    character_weights(instant_character(2, 128, feature=64, hidden=64)),
]
BLOCKS = tuple([("input", number, 0) for number in (1, 2, 4, 5, 7, 8)] + [("middle", 0, 0)]
               + [("output", number, 0) for number in range(3, 12)])  # fmt: skip


def saved(tree: Any, old: bool = False) -> bytes:
    """What `torch.save` writes."""
    stream = io.BytesIO()
    torch.save(tree, stream, _use_new_zipfile_serialization=not old)
    return stream.getvalue()


def _nested(weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    parts: dict[str, Any] = {"image_proj": {}, "ip_adapter": {}, "epoch": 3}
    for key, tensor in weights.items():
        part, name = key.split(".", 1)
        parts[part][name] = tensor
    return parts


NESTED = [saved(_nested(ADAPTERS[0])), saved(_nested(ADAPTERS[0]), old=True), saved({"state_dict": ADAPTERS[1]})]


def _prompt(feature: Feature, *shapes: tuple[int, ...]) -> ImagePrompt:
    parts = tuple(torch.ones(shape) for shape in shapes)
    image = EncodedImage(parts, parts) if len(parts) > 1 else EncodedImage(parts[0], parts[0])
    masked = Reference(image, 0.5, canvas_mask(torch.rand(1, 3, 4)))
    return ImagePrompt((masked, Reference(image)), feature, "encoder", "adapter", "image")


PROMPTS = [
    _prompt(Feature.POOLED, (1, 8)),
    _prompt(Feature.PERCEPTION, (1, 5, 8)),
    _prompt(Feature.FACE_AND_PICTURE, (1, 8), (1, 5, 8), (1, 2)),
    _prompt(Feature.TWO_SCALES, (1, 2, 8), (1, 6, 8), (1, 8, 8)),
]


def _encoders() -> list[dict[str, torch.Tensor]]:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, SiglipVisionConfig, SiglipVisionModel

    sizes = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1, "image_size": 28,
             "patch_size": 14}  # fmt: skip
    clip = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, projection_dim=16)), 1).state_dict()
    siglip = randomise(SiglipVisionModel(SiglipVisionConfig(**sizes)), 1).state_dict()
    return [{_named(key): tensor.clone() for key, tensor in one.items()} for one in (clip, siglip)]


def _named(key: str) -> str:
    return key if key.startswith(("vision_model.", "visual_projection.")) else f"vision_model.{key}"


ENCODERS = _encoders()


def ordered(stored: bytes) -> bytes:
    """Safetensors with their header in one order: the library's own differs from call to call, and what is drawn may not."""
    length = int.from_bytes(stored[:8], "little")
    header = json.dumps(json.loads(stored[8 : 8 + length]), sort_keys=True).encode()
    return len(header).to_bytes(8, "little") + header + stored[8 + length :]
