"""What an application holds on compute devices while a model samples, until ComfyUI cleans up."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from ..masks.token_grid import Area, Size
from .batch_layout import BatchLayout


class PlacedLayer(NamedTuple):
    """A layer's keys and values on the compute device, (2, N, D), or (F, 2, N, D) with a reference for each image.

    `weight` (.., 2, N, 1) and the mean value of each token's reference, `mean` (.., 2, N, D), are there only where the
    weight could not be folded in.
    """

    key: Tensor
    value: Tensor
    weight: Tensor | None = None
    mean: Tensor | None = None


PlacedLayers = tuple[PlacedLayer | None, ...]  # None where a layer is silent
MaskKey = tuple[torch.device, torch.dtype, bool, Size, Size, Area]  # with whether it is of places of several references
RowsKey = tuple[torch.device, torch.dtype, bool, Size, BatchLayout]


Method = TypeVar("Method", bound=Callable[..., Any])


def never_compiled(method: Method) -> Method:
    """The method as `torch.compile` steps around it; PyTorch's own decorator has no types."""
    return cast(Any, torch.compiler).disable(method)


class DeviceCache:
    """Tensors made once for each device and dtype. Copies and pickles begin empty."""

    def __init__(self) -> None:
        self._layers: dict[tuple[torch.device, torch.dtype], PlacedLayers] = {}
        self._masks: dict[MaskKey, Tensor] = {}
        self._mask_rows: dict[RowsKey, Tensor] = {}
        self._indices: dict[tuple[torch.device, tuple[int, ...]], Tensor] = {}
        self._frames: dict[tuple[torch.device, tuple[float, ...]], Tensor] = {}

    def __reduce__(self) -> tuple[type["DeviceCache"], tuple[()]]:
        return DeviceCache, ()

    def layers(self, device: torch.device, dtype: torch.dtype, make: Callable[[], PlacedLayers]) -> PlacedLayers:
        """Keys and values of every layer."""
        return _cached(self._layers, (device, dtype), make)

    @never_compiled  # a compiled layer finds what it needs made ready before the call
    def mask(self, key: MaskKey, make: Callable[[], Tensor]) -> Tensor:
        """The masks as weights (M, L, 1 or R) of the tokens of a grid, for a latent of a size that covers an area."""
        return _cached(self._masks, key, make)

    @never_compiled
    def mask_rows(self, key: RowsKey, make: Callable[[], Tensor]) -> Tensor:
        """The mask of each row of a batch, (B, L, 1 or R)."""
        return _cached(self._mask_rows, key, make)

    @never_compiled
    def index(self, device: torch.device, places: tuple[int, ...]) -> Tensor:
        """Places as an index (B,)."""
        return _cached(self._indices, (device, places), lambda: torch.tensor(places, device=device))

    @never_compiled
    def frames(self, device: torch.device, weights: tuple[float, ...]) -> Tensor:
        """The weights of the images of a batch, (F,)."""
        return _cached(self._frames, (device, weights), lambda: torch.tensor(weights, device=device))

    def held(self) -> list[Tensor]:
        """Every tensor that is held now."""
        placed = [
            part for layers in self._layers.values() for layer in layers if layer for part in layer if part is not None
        ]
        single = (self._masks, self._mask_rows, self._indices, self._frames)
        return placed + [tensor for tensors in single for tensor in tensors.values()]

    def clear(self) -> None:
        """Lets go of everything."""
        for part in (self._layers, self._masks, self._mask_rows, self._indices, self._frames):
            part.clear()


Key = TypeVar("Key")
Kept = TypeVar("Kept")


def _cached(known: dict[Key, Kept], key: Key, make: Callable[[], Kept]) -> Kept:
    """What is known, or what is made now.

    Threads of several devices come here, and another run's cleanup may come between two lines: what was found or made is
    returned, never looked up again.
    """
    found = known.get(key)
    if found is None:
        found = known[key] = make()
    return found
