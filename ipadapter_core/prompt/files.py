"""Image prompts as files: safetensors, PNGs that hold the same bytes, and the `.ipadpt` files of ComfyUI_IPAdapter_plus."""

import json
from enum import Enum
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from ..checkpoint.enums import Feature
from ..checkpoint.features import encoder_name
from ..checkpoint.headers import Container, Header, check_regular, header_of, read_header
from ..checkpoint.pickles import read_tree
from ..errors import CheckpointError, ImagePromptError
from ..limits import PROMPT_BYTES, REFERENCES, TOKENS
from ..quoting import quoted
from ..written_whole import written_whole
from .features import Features, parts_of
from .image_prompt import EncodedImage, ImagePrompt, Reference
from .png_prompts import prompt_bytes, with_prompt
from .png_text import SIGNATURE, is_png
from .stored import FORMAT, MASK_PARTS, StoredPromptError, check_numbers, check_tensors, unpack

EMBEDS = ".ipadpt"


class PromptForm(str, Enum):
    """How a prompt is written: alone, or inside the image that it was made from."""

    SAFETENSORS = "safetensors"
    PNG = "PNG"

    @property
    def ending(self) -> str:
        """Of a file's name."""
        return f".{self.value.lower()}"


BROKEN = (StoredPromptError, CheckpointError, SafetensorError, OSError, ValueError)  # what broken files raise


def save_prompt(prompt: ImagePrompt, path: Path, note: str = "", shown: Tensor | None = None) -> None:
    """Writes a prompt with everything it is: features, negatives, weights, masks, and in its metadata where it is from.

    With 8-bit pixels (H, W, 3) to show it writes them as a PNG and the same bytes inside. Raises `ImagePromptError` where
    they are too many for one, or the file cannot be written.
    """
    tensors, metadata = packed(prompt)
    metadata |= {"note": note} if note else {}
    try:
        content = save(tensors, metadata)
        with written_whole(path) as partial:
            partial.write_bytes(content if shown is None else with_prompt(content, shown))
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImagePromptError(
            f"{quoted(path)}: cannot be written ({quoted(reason)}), expected a folder that is there and has room: save the "
            "image prompt somewhere else"
        ) from error


def load_prompt(path: Path) -> ImagePrompt:
    """Reads what `save_prompt` wrote; whether it is inside a PNG, the content says.

    Raises `ImagePromptError` where the file is broken or something else.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            stored = prompt_bytes(file) if is_png(file.read(len(SIGNATURE))) else None
        if stored is not None:
            header = read_header(path, stored)
            _check(header, len(stored))
            return unpack(load(stored), header.metadata)
        header = read_header(path)
        _check(header, path.stat().st_size)
        with safe_open(path, "pt") as file:
            return unpack({key: file.get_tensor(key) for key in header.tensors}, header.metadata)
    except BROKEN as error:
        raise _damaged(path.name, error) from error


def read_embeds(path: Path) -> Tensor:
    """The features in an `.ipadpt` file, (N, E) or (N, L, E); nothing in the file is run.

    Raises `ImagePromptError` where it holds anything else than one such tensor.
    """
    try:
        header = read_header(path)
        found = read_tree(path, "cpu") if header.container is Container.TORCH else None
        if not isinstance(found, Tensor):
            raise StoredPromptError("holds no features (N, E) or (N, L, E)")
        check_tensors(header_of({"features": found}))
        if found.ndim == 1 or len(found) > REFERENCES or (found.ndim == 3 and found.shape[1] > TOKENS):
            raise StoredPromptError(f"holds {list(found.shape)}, expected features (N, E) or (N, L, E) of a usual size")
        return check_numbers(found.detach(), "features")
    except BROKEN as error:
        raise _damaged(path.name, error) from error


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
    references = tuple(
        Reference(EncodedImage(features[i : i + 1].float(), against[min(i, len(against) - 1)].unsqueeze(0).float()))
        for i in range(len(features))
    )
    return ImagePrompt(references, kind, encoder_name(kind, features.shape[-1]), "", name)


def packed(prompt: ImagePrompt) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A prompt as named tensors and metadata; images and masks that references share are there once."""
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
        | ({"words": one.words} if one.words else {})
        for one in prompt.references
    ]
    metadata = {"format": FORMAT, "feature": prompt.feature.value, "encoder": prompt.encoder, "adapter": prompt.adapter,
                "made_from": prompt.made_from, "references": json.dumps(references)}  # fmt: skip
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}, metadata


def _check(header: Header, size: int) -> None:
    """Raises `StoredPromptError` for files of another kind, of other tensors, and for those too large to be a prompt."""
    found = header.metadata.get("format")
    if found != FORMAT:
        raise StoredPromptError(f"found format '{quoted(found)}', expected '{FORMAT}' in its metadata")
    if size > PROMPT_BYTES:
        raise StoredPromptError(f"{size} bytes, at most {PROMPT_BYTES} are read")
    check_tensors(header)


def _damaged(name: str, error: Exception) -> ImagePromptError:
    found = str(error) if isinstance(error, StoredPromptError) else f"cannot be read ({quoted(error)})"
    return ImagePromptError(
        f"{quoted(name)}: {found}; expected a file from Save Image Prompt: save it again, or choose another file in Load Image "
        "Prompt"
    )


def _named(start: str, features: Features) -> dict[str, Tensor]:
    return {f"{start}.{number}": part for number, part in enumerate(parts_of(features))}
