"""Image prompts as files: written as safetensors, read from those and from the `.ipadpt` files of ComfyUI_IPAdapter_plus."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoint.spec import ENCODERS, Feature
from ..errors import OUT_OF_MEMORY, ImagePromptError
from ..masks.canvas_mask import CanvasMask
from .features import Features
from .image_prompt import EncodedImage, ImagePrompt, Reference

FORMAT = "ipadapter-core image prompt 1"
EMBEDS = ".ipadpt"
MASK_PARTS = ("values", "rows", "columns")
WHOLE_PICTURES = {Feature.HIDDEN: 3, Feature.LAST: 3}  # dimensions; all other plain features are vectors
PARTS = {
    Feature.FACE_AND_PICTURE: 3,
    Feature.RAW_FACE_AND_PICTURE: 3,
    Feature.CONTENT_AND_STYLE: 2,
    Feature.INSTRUCTED: 3,
}


def save_prompt(prompt: ImagePrompt, path: Path, note: str = "") -> None:
    """Writes a prompt with everything it is: features, negatives, weights, masks, and in its metadata where it is from."""
    tensors, metadata = packed(prompt)
    save_file(tensors, path, metadata | ({"note": note} if note else {}))


def load_prompt(path: Path) -> ImagePrompt:
    """Reads what `save_prompt` wrote. Raises `ImagePromptError` where the file is broken or something else."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            names = file.keys() if metadata.get("format") == FORMAT else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise _damaged(path.name, f"cannot be read as safetensors ({error})") from error
    return unpacked(tensors, metadata, path.name)


def read_embeds(path: Path) -> Tensor:
    """The features in an `.ipadpt` file, (N, E) or (N, L, E); nothing in the file is run.

    Raises `ImagePromptError` where it holds anything else than one such tensor.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a broken or hostile file raises becomes one clear sentence
        raise _damaged(path.name, f"cannot be read as tensors alone ({type(error).__name__})") from error
    if not isinstance(found, Tensor) or found.ndim not in (2, 3) or not found.is_floating_point() or not found.numel():
        raise _damaged(path.name, "holds no features (N, E) or (N, L, E)")
    return found.detach()


def prompt_of_embeds(features: Tensor, negative: Tensor | None = None, name: str = EMBEDS) -> ImagePrompt:
    """A prompt over the rows of features as ComfyUI_IPAdapter_plus passes them, each a reference.

    Without a negative it is zeros, as there; of several the last stays for all that follow.
    Raises `ImagePromptError` where features and negative are of different kinds.
    """
    against = torch.zeros_like(features[:1]) if negative is None else negative
    if against.shape[1:] != features.shape[1:]:
        raise ImagePromptError(
            f"{name}: found features {list(features.shape[1:])} and a negative {list(against.shape[1:])}, expected the same "
            "shape: choose the negative that was saved with them in Load Image Prompt, or none"
        )
    kind = Feature.POOLED if features.ndim == 2 else Feature.HIDDEN
    width = features.shape[-1]
    encoder = ENCODERS.get((kind, width), f"an encoder with {kind.value} of width {width}")
    references = tuple(
        Reference(EncodedImage(features[i : i + 1].float(), against[min(i, len(against) - 1)].unsqueeze(0).float()))
        for i in range(len(features))
    )
    return ImagePrompt(references, kind, encoder, "", name)


def packed(prompt: ImagePrompt) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A prompt as named tensors and metadata; pictures and masks that references share are there once."""
    images = {id(one.image): one.image for one in prompt.references}
    masks = {id(one.mask): one.mask for one in prompt.references if one.mask is not None}
    image_places, mask_places = ({key: place for place, key in enumerate(found)} for found in (images, masks))
    tensors: dict[str, Tensor] = {}
    for place, image in enumerate(images.values()):
        tensors |= _named(f"image.{place}.features", image.features) | _named(f"image.{place}.negative", image.negative)
    for place, mask in enumerate(masks.values()):
        tensors |= {f"mask.{place}.{part}": tensor for part, tensor in zip(MASK_PARTS, mask, strict=True)}
    references = [
        {"image": image_places[id(one.image)], "weight": one.weight, "mask": mask_places.get(id(one.mask))}
        for one in prompt.references
    ]
    metadata = {"format": FORMAT, "feature": prompt.feature.value, "encoder": prompt.encoder, "adapter": prompt.adapter,
                "made_from": prompt.made_from, "references": json.dumps(references)}  # fmt: skip
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}, metadata


def unpacked(tensors: dict[str, Tensor], metadata: dict[str, str], name: str) -> ImagePrompt:
    """The prompt again; every word and shape is checked. Raises `ImagePromptError` that names the file."""
    if metadata.get("format") != FORMAT:
        raise _damaged(name, f"found format '{metadata.get('format')}', expected '{FORMAT}' in its metadata")
    try:
        feature = Feature(metadata["feature"])
        entries = [_entry(one) for one in json.loads(metadata["references"])]
        images = {place: _image(tensors, place, feature) for place, _, _ in entries}
        masks = {place: _mask(tensors, place) for _, _, place in entries if place is not None}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(name, f"its parts do not fit together ({error})") from error
    if not entries:
        raise _damaged(name, "holds no reference")
    references = tuple(
        Reference(images[image], weight, None if mask is None else masks[mask]) for image, weight, mask in entries
    )
    return ImagePrompt(references, feature, *(metadata.get(key, "") for key in ("encoder", "adapter", "made_from")))


def _damaged(name: str, found: str) -> ImagePromptError:
    return ImagePromptError(
        f"{name}: {found}; expected a file from Save Image Prompt: save it again, or choose another file in Load Image Prompt"
    )


def _named(start: str, features: Features) -> dict[str, Tensor]:
    parts = (features,) if isinstance(features, Tensor) else features
    return {f"{start}.{number}": part for number, part in enumerate(parts)}


def _entry(one: dict[str, Any]) -> tuple[int, float, int | None]:
    image, weight, mask = one["image"], float(one["weight"]), one["mask"]
    if type(image) is not int or not math.isfinite(weight) or not (mask is None or type(mask) is int):
        raise ValueError(f"reference {one}")
    return image, weight, mask


def _image(tensors: dict[str, Tensor], place: int, feature: Feature) -> EncodedImage:
    features, negative = (
        tuple(tensors[f"image.{place}.{side}.{part}"] for part in range(PARTS.get(feature, 1)))
        for side in ("features", "negative")
    )
    for one, other in zip(features, negative, strict=True):
        wanted = one.ndim if feature in PARTS else WHOLE_PICTURES.get(feature, 2)
        if (
            (one.ndim, other.ndim) != (wanted, wanted)
            or one.shape[-1] != other.shape[-1]
            or not len(one) == len(other) == 1
        ):
            raise ValueError(f"picture {place} has features {list(one.shape)} and a negative {list(other.shape)}")
        if not (one.is_floating_point() and other.is_floating_point()):
            raise ValueError(f"picture {place} has features of {one.dtype}")
    return EncodedImage(features, negative) if feature in PARTS else EncodedImage(features[0], negative[0])


def _mask(tensors: dict[str, Tensor], place: int) -> CanvasMask:
    values, *edges = (tensors[f"mask.{place}.{part}"] for part in MASK_PARTS)
    rising = all(one.ndim == 1 and one[0] == 0 and one[-1] == 1 and bool((one.diff() > 0).all()) for one in edges)
    if values.ndim != 3 or not rising or values.shape[1:] != tuple(len(one) - 1 for one in edges) or not len(values):
        raise ValueError(f"mask {place} has values {list(values.shape)} between edges that do not fit")
    return CanvasMask(values.float(), edges[0].double(), edges[1].double())
