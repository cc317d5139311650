"""CLIP vision models in one file without a config.json: every size is in the shapes."""

from torch import Tensor

import comfy.clip_vision

from ..checkpoint.formats import depth
from ..errors import EncoderMismatchError
from ..limits import ENCODER_DEPTH
from ..quoting import quoted
from .folder import make_network
from .hugging_face import CLIP_MEAN, CLIP_STD, HuggingFaceEncoder, Preparation
from .weights import check_complete

HEAD_WIDTH = 64  # of every CLIP by OpenAI
CSD_STYLE = "last_layer_style"
LAYERS = "vision_model.encoder.layers."
FIRST = {  # what the sizes are read off, with its dimensions
    "vision_model.embeddings.patch_embedding.weight": 4, "vision_model.embeddings.position_embedding.weight": 2,
    f"{LAYERS}0.mlp.fc1.weight": 2, "visual_projection.weight": 2,
}  # fmt: skip


def clip_from_weights(weights: dict[str, Tensor], file: str, style: bool) -> HuggingFaceEncoder:
    """An OpenAI CLIP vision model from weights in transformers' naming; 64 channels a head.

    Raises `EncoderMismatchError` where one of its tensors is missing or of another size.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    check_complete(FIRST, weights, file)
    patch, positions, inner, projection = (weights[key].shape for key in FIRST)
    layers = depth(dict.fromkeys(weights, ()), LAYERS, ENCODER_DEPTH)
    odd = (
        [key for key, count in FIRST.items() if weights[key].ndim != count] or patch[0] < HEAD_WIDTH or positions[0] < 2
    )
    if odd:
        raise EncoderMismatchError(
            f"{quoted(file)}: is no CLIP vision model of OpenAI's layout: choose another encoder"
        )
    sizes = dict(
        hidden_size=patch[0],
        intermediate_size=inner[0],
        num_hidden_layers=layers,
        num_attention_heads=patch[0] // HEAD_WIDTH,
        image_size=round((positions[0] - 1) ** 0.5) * patch[-1],
        patch_size=patch[-1],
        projection_dim=projection[0],
        hidden_act="quick_gelu",
    )
    network = make_network((CLIPVisionConfig, CLIPVisionModelWithProjection), sizes, weights, file)
    return HuggingFaceEncoder(network, Preparation(network.config.image_size, CLIP_MEAN, CLIP_STD), style)


def csd_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """CSD, an OpenAI CLIP ViT-L whose projection is the style's, in transformers' naming.

    Source: learn2phoenix/CSD, CSD/model.py: style = normalize(backbone(x) @ last_layer_style).
    """
    plain = {key.removeprefix("module."): tensor for key, tensor in weights.items()}
    visual = {f"visual.{key[9:]}": tensor for key, tensor in plain.items() if key.startswith("backbone.")}
    visual["visual.proj"] = plain[CSD_STYLE]
    return openai_names(visual)


def openai_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names below `visual.` brought to transformers'."""
    return comfy.clip_vision.convert_to_transformers(dict(weights), "visual.")
