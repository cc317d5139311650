"""What an adapter made of references, remembered for as long as the reference is there."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from ..prompt.image_prompt import EncodedImage
from .key_value_bank import KeyValueBank

Sides = tuple[Tensor, Tensor]  # of an image and of its negative


class ProjectedReferences:
    """A cache of keys and values by encoded image and, where a model's own text projection takes part, by that projection;
    of adapters whose tokens change from step to step, of what does not change, by encoded image.

    Another weight, window or mask needs no second projection. Copies and pickles begin empty.
    """

    def __init__(self) -> None:
        self._banks: WeakKeyDictionary[EncodedImage, WeakKeyDictionary[nn.Module, KeyValueBank]] = WeakKeyDictionary()
        self._sides: WeakKeyDictionary[EncodedImage, Sides] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type["ProjectedReferences"], tuple[()]]:
        return ProjectedReferences, ()

    def bank(self, image: EncodedImage, maker: nn.Module, project: Callable[[], KeyValueBank]) -> KeyValueBank:
        """What `project` made of `image` with `maker`, at the first call."""
        banks = self._banks.setdefault(image, WeakKeyDictionary())
        if maker not in banks:
            banks[maker] = project()
        return banks[maker]

    def sides(self, image: EncodedImage, read: Callable[[], Sides]) -> Sides:
        """What `read` made of `image`, at the first call."""
        if image not in self._sides:
            self._sides[image] = read()
        return self._sides[image]
