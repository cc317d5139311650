"""The keys and values that an adapter made of references, remembered for as long as the reference is there."""

from collections.abc import Callable
from weakref import WeakKeyDictionary

from torch import nn

from ..prompt.image_prompt import EncodedImage
from .key_value_bank import KeyValueBank


class ProjectedReferences:
    """A cache by encoded image and, where a model's own text projection takes part, by that projection.

    Another weight, window or mask needs no second projection. Copies and pickles begin empty.
    """

    def __init__(self) -> None:
        self._banks: WeakKeyDictionary[EncodedImage, WeakKeyDictionary[nn.Module, KeyValueBank]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type["ProjectedReferences"], tuple[()]]:
        return ProjectedReferences, ()

    def bank(self, image: EncodedImage, maker: nn.Module, project: Callable[[], KeyValueBank]) -> KeyValueBank:
        """What `project` made of `image` with `maker`, at the first call."""
        banks = self._banks.setdefault(image, WeakKeyDictionary())
        if maker not in banks:
            banks[maker] = project()
        return banks[maker]
