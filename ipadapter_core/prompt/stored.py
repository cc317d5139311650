"""From the tensors and the metadata of a saved image prompt to the prompt: nothing in them is believed unread."""

import json
import math
from typing import Any, NamedTuple, cast

from torch import Tensor

from ..checkpoint.enums import Feature
from ..checkpoint.features import FEATURES
from ..checkpoint.headers import Header
from ..checkpoint.recognise import READ
from ..checkpoint.tensors import is_finite
from ..limits import LARGEST, MASK_SIDE, MESSAGE, REFERENCES, TOKENS, WEIGHT, WIDTH
from ..masks.canvas_mask import CanvasMask
from ..quoting import quoted
from .image_prompt import EncodedImage, ImagePrompt, Reference, Words

FORMAT = "ipadapter-core image prompt 1"
MASK_PARTS = ("values", "rows", "columns")
SIDES = ("features", "negative")


class StoredPromptError(Exception):
    """What does not fit, without the file's name."""


def check_tensors(header: Header) -> None:
    """Raises `StoredPromptError` for tensors that nothing computes with, before they are read."""
    for key, tensor in header.tensors.items():
        if tensor.dtype not in READ or not 1 <= len(tensor.shape) <= 3 or 0 in tensor.shape:
            raise StoredPromptError(f"{quoted(key)} holds {quoted(tensor.dtype)} of shape {quoted(list(tensor.shape))}")


def check_numbers(tensor: Tensor, name: str) -> Tensor:
    """The tensor, in a dtype that everything computes with; raises `StoredPromptError` for NaN and infinity."""
    if not is_finite(tensor):
        raise StoredPromptError(f"{name} hold NaN, infinity or numbers beyond {LARGEST}")
    return tensor.float() if tensor.element_size() == 1 else tensor


def unpack(tensors: dict[str, Tensor], metadata: dict[str, str]) -> ImagePrompt:
    """The prompt; raises `StoredPromptError` where parts are missing, unknown, of other shapes, or too many."""
    feature = _feature(metadata)
    entries = _entries(metadata)
    images = {place: _image(tensors, place, feature) for place in {entry.image for entry in entries}}
    masks = {place: _mask(tensors, place) for place in {entry.mask for entry in entries} if place is not None}
    references = tuple(
        Reference(images[one.image], one.weight, None if one.mask is None else masks[one.mask], one.words)
        for one in entries
    )
    return ImagePrompt(
        references, feature, *(metadata.get(key, "")[:MESSAGE] for key in ("encoder", "adapter", "made_from"))
    )


def _feature(metadata: dict[str, str]) -> Feature:
    try:
        return Feature(metadata.get("feature"))
    except ValueError as error:
        raise StoredPromptError(f"unknown feature {quoted(metadata.get('feature'))}") from error


class Entry(NamedTuple):
    """Of a reference the number of its image, its weight, the number of its mask, and the words that it belongs to."""

    image: int
    weight: float
    mask: int | None
    words: Words | None


def _entries(metadata: dict[str, str]) -> list[Entry]:
    try:
        found = json.loads(metadata["references"])
    except (KeyError, ValueError, RecursionError) as error:
        raise StoredPromptError(f"no list of references ({type(error).__name__})") from error
    if not isinstance(found, list):
        raise StoredPromptError(f"no list of references, expected 1 to {REFERENCES}")
    entries = cast(list[Any], found)
    if not 1 <= len(entries) <= REFERENCES:
        raise StoredPromptError(f"{len(entries) or 'no'} references, expected 1 to {REFERENCES}")
    return [_entry(one) for one in entries]


def _entry(one: Any) -> Entry:
    if not isinstance(one, dict):
        raise StoredPromptError(f"reference {quoted(one)}")
    values = cast(dict[str, Any], one)
    image: Any = values.get("image")
    weight: Any = values.get("weight")
    mask: Any = values.get("mask")
    numbers = type(image) is int and (mask is None or type(mask) is int)
    if not numbers or type(weight) not in (int, float) or not abs(weight) <= WEIGHT or not math.isfinite(weight):
        raise StoredPromptError(f"reference {quoted(values)}")
    return Entry(image, float(weight), mask, _words(values.get("words")))


def _words(found: Any) -> Words | None:
    """Words as `Words` is written in JSON: their text, and lists of token numbers."""
    if found is None:
        return None
    pair = _list(found)
    text, lists = pair if len(pair) == 2 else (None, None)
    phrases = [tuple(_list(one)) for one in _list(lists)]
    tokens = [token for phrase in phrases for token in phrase]
    known = type(text) is str and 0 < len(tokens) <= TOKENS and all(phrases)
    if not known or any(type(token) is not int for token in tokens):
        raise StoredPromptError(f"words {quoted(cast(object, found))}")
    return Words(str(text)[:MESSAGE], tuple(phrases))


def _list(found: Any) -> list[Any]:
    return cast(list[Any], found) if isinstance(found, list) else []


def _image(tensors: dict[str, Tensor], place: int, feature: Feature) -> EncodedImage:
    """One encoded image; the features and the negative have the parts that the feature's row says."""
    dimensions = FEATURES[feature].parts
    features, negative = (
        tuple(_tensor(tensors, f"image.{quoted(place)}.{side}.{part}") for part in range(len(dimensions)))
        for side in SIDES
    )
    for one, other, wanted in zip(features, negative, dimensions, strict=True):
        tokens = max(one.shape[1:-1] + other.shape[1:-1], default=0)
        fits = one.ndim == other.ndim == wanted and len(one) == len(other) == 1 and one.shape[-1] == other.shape[-1]
        if not fits or one.shape[-1] > WIDTH or tokens > TOKENS:
            raise StoredPromptError(
                f"image {quoted(place)} has features {list(one.shape)} and a negative {list(other.shape)}"
            )
    if len(dimensions) > 1:
        return EncodedImage(features, negative)
    return EncodedImage(features[0], negative[0])


def _mask(tensors: dict[str, Tensor], place: int) -> CanvasMask:
    values, *edges = (_tensor(tensors, f"mask.{quoted(place)}.{part}") for part in MASK_PARTS)
    rising = all(
        one.ndim == 1 and len(one) > 1 and one[0] == 0 and one[-1] == 1 and bool((one.diff() > 0).all())
        for one in edges
    )
    fits = values.ndim == 3 and rising and values.shape[1:] == tuple(len(one) - 1 for one in edges)
    if not fits or max(values.shape) > MASK_SIDE:
        raise StoredPromptError(f"mask {quoted(place)} has values {list(values.shape)} between edges that do not fit")
    return CanvasMask(values.float(), edges[0].double(), edges[1].double())


def _tensor(tensors: dict[str, Tensor], key: str) -> Tensor:
    """A tensor that must be there, of floating point and finite."""
    found = tensors.get(key)
    if found is None or not found.is_floating_point() or not found.numel():
        raise StoredPromptError(
            f"its parts do not fit together: {key} is missing"
            if found is None
            else f"{key} holds no floating point numbers"
        )
    return check_numbers(found, key)
