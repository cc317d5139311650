"""One application of an image prompt to a model: frozen, so that branches of a graph can share it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..adapter.key_value_bank import KeyValueBank
from ..checkpoint.spec import AdapterSpec
from ..masks.mask import Mask
from ..masks.token_grid import CANVAS, Area, Size
from ..prompt.image_prompt import ImagePrompt
from ..weights.layer_weights import LayerWeight
from ..weights.scaling import Scaling, scale
from .strength import Strength

Block = tuple[str, int, int]  # (kind of place, its number, the depth inside it); each patcher names its own kinds
_numbers = count()


class WeightedBank(NamedTuple):
    """The bank of one reference and the reference's own weight."""

    bank: KeyValueBank
    weight: float = 1.0


class LiveReference(NamedTuple):
    """A reference whose keys are made while sampling: features and negative (1, L, E), and its own weight."""

    features: Tensor
    negative: Tensor
    weight: float = 1.0


class LiveAdapter(NamedTuple):
    """An adapter that has to stay loaded beside the model, and the references that it reads there."""

    patcher: Any
    references: tuple[LiveReference, ...] = ()


class Provenance(NamedTuple):
    """What an application was made of, for those who ask afterwards; no layer reads it."""

    spec: AdapterSpec
    prompt: ImagePrompt


class PlacedLayer(NamedTuple):
    """A layer's keys and values on the compute device, (2, N, D), or (F, 2, N, D) with a reference for each frame.

    `weight` (.., 2, N, 1) and the mean value of each token's reference, `mean` (.., 2, N, D), are there only where the
    weight could not be folded in.
    """

    key: Tensor
    value: Tensor
    weight: Tensor | None = None
    mean: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Application:
    """Everything that the layers of one model need of one image prompt.

    `blocks`, `layers` and the layers of each bank run in the order of the adapter's file. `banks` are attended to together,
    or, with `per_frame`, one for each picture of the batch (the last one for all that follow). `mask` covers
    the canvas, with one mask for all pictures or one for each (the last one for all that follow). `live` is there only
    where a part of the adapter depends on the step.

    What is placed on a device is remembered by device and dtype until `cleanup`, which ComfyUI calls when a run ends.
    """

    blocks: tuple[Block, ...]
    banks: tuple[WeightedBank, ...]
    layers: tuple[LayerWeight, ...]
    strength: Strength = Strength()
    mask: Mask | None = None
    per_frame: bool = False
    live: LiveAdapter | None = None
    origin: Provenance | None = field(default=None, repr=False)
    number: int = field(default_factory=lambda: next(_numbers), init=False)
    _placed: dict = field(default_factory=dict, init=False, repr=False)

    def __deepcopy__(self, memo: dict) -> "Application":
        return self

    def to(self, _device_or_dtype) -> "Application":
        """ComfyUI moves patches with the model; ours move when they are used."""
        return self

    def models(self) -> list:
        """What ComfyUI shall load with the model."""
        return [self.live.patcher] if self.live else []

    def cleanup(self) -> None:
        """Lets go of everything on compute devices."""
        self._placed.clear()

    @property
    def scaled_late(self) -> bool:
        """Whether the weight of a step scales keys as well, so that it could not be folded into the values beforehand."""
        return bool(self.banks) and not self.strength.constant and self.strength.scaling is not Scaling.V_ONLY

    def placed(self, device: torch.device, dtype: torch.dtype) -> tuple[PlacedLayer | None, ...]:
        """The layers on a device, None where a layer is silent; moved at the first call."""
        key = (device, dtype)
        layers = self._placed.get(key)
        if layers is None:  # threads of several devices come here; another run's cleanup may come between the two lines
            layers = self._placed[key] = tuple(self._place(index, device, dtype) for index in range(len(self.layers)))
        return layers

    def bytes_on(self, device: torch.device) -> int:
        """How many bytes are held on a device now."""
        held = [part for (place, *_), value in self._placed.items() if place == device for part in _tensors(value)]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    def mask_weights(
        self, device: torch.device, dtype: torch.dtype, grid: Size, latent: Size, area: Area = CANVAS
    ) -> Tensor:
        """The mask as weights (M, L, 1) of the tokens of a latent that covers an area."""
        assert self.mask is not None
        mask = self.mask
        return self.kept(
            (device, dtype, grid, latent, area),
            lambda: mask.token_weights(grid, latent, area).to(dtype).to(device),
        )

    def frame_weights(self, device: torch.device) -> Tensor:
        """The multipliers of the pictures (F,) on a device."""
        return self.kept((device, "frames"), lambda: torch.tensor(self.strength.frames, device=device))

    @torch.compiler.disable  # a compiled layer finds what it needs made ready before the call
    def kept(self, key: tuple, make: Callable[[], Tensor]) -> Tensor:
        """A tensor on the device that `key` begins with, made once."""
        tensor = self._placed.get(key)
        if tensor is None:
            tensor = self._placed[key] = make()
        return tensor

    def _place(self, index: int, device: torch.device, dtype: torch.dtype) -> PlacedLayer | None:
        layer = self.layers[index]
        if layer.silent or self.strength.weight == 0 or not self.banks:
            return None
        sides = torch.tensor((layer.negative, layer.positive), dtype=torch.float64).view(2, 1, 1) * self.strength.weight
        parts = []
        for bank, weight in self.banks:
            key, value = bank.keys[index], bank.values[index]
            if layer.negative_sees_reference:
                key, value = (part[1:].expand_as(part) for part in (key, value))
            mean = value.mean(dim=1, keepdim=True)
            if self.scaled_late:
                parts.append((key, value, (sides * weight).expand(-1, key.shape[1], 1), mean.expand_as(value)))
            else:
                parts.append(scale(self.strength.scaling, key, value, sides * weight, mean))
        join = torch.stack if self.per_frame else lambda tensors: torch.cat(tensors, dim=1)
        return PlacedLayer(*(join(tensors).to(device, dtype) for tensors in zip(*parts, strict=True)))


def _tensors(value: Tensor | tuple[PlacedLayer | None, ...]) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [part for layer in value if layer is not None for part in layer if part is not None]
