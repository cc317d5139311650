"""One application of an image prompt to a model: frozen, so that branches of a workflow can share it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..adapter.own_attention import Folding
from ..adapter.several_references import Banks
from ..attention.orthogonal_attention import Orthogonality
from ..checkpoint.spec import AdapterSpec
from ..masks.mask import Mask
from ..masks.places import Places
from ..masks.token_grid import CANVAS, Area, Size
from ..prompt.image_prompt import ImagePrompt, Words
from ..weights.layer_weights import LayerWeight
from ..weights.scaling import Scaling, scale
from .device_cache import DeviceCache, PlacedLayer, PlacedLayers
from .strength import Strength

Block = tuple[str, int, int]  # (kind of place, its number, the depth inside it); each family names its own kinds


class LiveReference(NamedTuple):
    """A reference whose keys are made while sampling: features and negative (1, L, E), and its own weight."""

    features: Tensor
    negative: Tensor
    weight: float = 1.0


class LiveAdapter(NamedTuple):
    """An adapter that has to stay loaded beside the model, and the references that it reads there.

    With `by_row` each reference belongs to one row of the call, which has a noise level of its own, as in training; `apart`
    where its image tokens have an attention of their own, as banks have, instead of one with the image's own tokens.
    """

    patcher: Any
    references: tuple[LiveReference, ...] = ()
    by_row: bool = False
    apart: bool = False


class Provenance(NamedTuple):
    """What an application was made of, for those who ask afterwards; no layer reads it."""

    spec: AdapterSpec
    prompt: ImagePrompt


@dataclass(frozen=True, eq=False)
class Application:
    """Everything that the layers of one model need of one image prompt.

    `blocks`, `layers` and the layers of each bank run in the order of the adapter's file. `banks` are attended to together,
    or, with `per_frame`, one for each image of the batch (the last one for all that follow). `mask` covers
    the canvas, with one mask for all images or one for each (the last one for all that follow), and `words` say the same by
    words of the text: nothing, those of all references, or those of each image's. `live` is there only
    where a part of the adapter depends on the step, `folding` where its layers ask with projections of their own: then what
    is placed on a device are keys and values folded with these. `orthogonality` is there where what the references add is
    held against the text's own output, `places` where the references of one softmax have masks of their own, one each.

    Data, apart from `cache`: what is placed on a device is remembered there until `cleanup`, which ComfyUI calls when a run
    ends, and does not travel with a pickle.
    """

    blocks: tuple[Block, ...]
    banks: Banks
    layers: tuple[LayerWeight, ...]
    strength: Strength = Strength()
    mask: Mask | None = None
    per_frame: bool = False
    live: LiveAdapter | None = None
    origin: Provenance | None = field(default=None, repr=False)
    folding: Folding | None = field(default=None, repr=False)
    words: tuple[Words | None, ...] = ()
    orthogonality: Orthogonality | None = None
    places: Places | None = None
    cache: DeviceCache = field(default_factory=DeviceCache, init=False, repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Application":
        return self

    def to(self, _device_or_dtype: Any) -> "Application":
        """ComfyUI moves patches with the model; ours move when they are used."""
        return self

    def models(self) -> list[Any]:
        """What ComfyUI should load with the model."""
        return [self.live.patcher] if self.live else []

    def cleanup(self) -> None:
        """Lets go of everything on compute devices."""
        self.cache.clear()

    @property
    def masked(self) -> bool:
        """Whether it has to know where in the image a layer's tokens are."""
        return self.mask is not None or self.places is not None

    @property
    def references(self) -> int:
        """How many references there are, one for each image of the batch with `per_frame`."""
        return len(self.banks) or (len(self.live.references) if self.live else 0)

    @property
    def scaled_late(self) -> bool:
        """Whether the weight of a step scales keys as well, so that it could not be folded into the values beforehand."""
        apart = bool(self.banks) or (self.live is not None and self.live.apart)
        return apart and not self.strength.constant and self.strength.scaling is not Scaling.V_ONLY

    def placed(self, device: torch.device, dtype: torch.dtype) -> PlacedLayers:
        """The layers on a device, None where a layer is silent; moved at the first call."""
        return self.cache.layers(
            device, dtype, lambda: tuple(self._place(index, device, dtype) for index in range(len(self.layers)))
        )

    def bytes_on(self, device: torch.device) -> int:
        """How many bytes are held on a device now."""
        held = [tensor for tensor in self.cache.held() if tensor.device == device]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def key_width(self, index: int) -> int | None:
        """The width of a layer's keys before they were folded, which a penalty on channels goes by; None where nothing was."""
        return self.banks[0].bank.keys[index].shape[-1] if self.banks else None

    def mask_weights(self, mask: Mask | Places, like: Tensor, grid: Size, latent: Size, area: Area = CANVAS) -> Tensor:
        """The mask, or the places, as weights (M, L, 1 or R) of the tokens of a latent that covers an area."""
        return self.cache.mask(
            (like.device, like.dtype, isinstance(mask, Places), grid, latent, area),
            lambda: mask.token_weights(grid, latent, area).to(like.dtype).to(like.device),
        )

    def weighed(self, index: int, references: Sequence[tuple[Tensor, Tensor, Tensor]]) -> PlacedLayer:
        """A layer's keys and values (2, N, D) of each reference, weighed by (2, 1, 1), as its attention meets them."""
        parts: list[tuple[Tensor, ...]] = []
        for key, value, weight in references:
            if self.layers[index].negative_sees_reference:
                key, value = (part[1:].expand_as(part) for part in (key, value))
            mean = value.mean(dim=1, keepdim=True)
            if self.scaled_late:
                parts.append((key, value, weight.expand(-1, key.shape[1], 1), mean.expand_as(value)))
            else:
                parts.append(scale(self.strength.scaling, key, value, weight, mean))
        return PlacedLayer(
            *(torch.stack(same) if self.per_frame else torch.cat(same, dim=1) for same in zip(*parts, strict=True))
        )

    def _place(self, index: int, device: torch.device, dtype: torch.dtype) -> PlacedLayer | None:
        layer = self.layers[index]
        if layer.silent or self.strength.weight == 0 or not self.banks:
            return None
        weights = torch.tensor((layer.negative, layer.positive), dtype=torch.float64).view(2, 1, 1)
        weights = weights * self.strength.weight
        placed = self.weighed(
            index, [(bank.keys[index], bank.values[index], weights * weight) for bank, weight, _ in self.banks]
        )
        if self.folding is not None:
            mean = None if placed.mean is None else placed.mean.to(device)
            moved = PlacedLayer(placed.key.to(device), placed.value.to(device), placed.weight, mean)
            placed = _folded(self.folding, index, moved)
        weight, mean = (None if one is None else one.to(device, dtype) for one in (placed.weight, placed.mean))
        return PlacedLayer(placed.key.to(device, dtype), placed.value.to(device, dtype), weight, mean)


def _folded(folding: Folding, index: int, layer: PlacedLayer) -> PlacedLayer:
    """The same layer for hidden states in place of queries; the fold is linear, so weights may come before or after it."""
    mean = None if layer.mean is None else folding.value(index, layer.mean)
    return PlacedLayer(folding.key(index, layer.key), folding.value(index, layer.value), layer.weight, mean)
