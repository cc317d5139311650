"""The part of an adapter that sampling needs at every step, where not all of it does (InstantCharacter).

It is loaded beside the model; what comes before it is done once of a reference, and its weights never are.
"""

from torch import Tensor, nn

from ..checkpoint.spec import AdapterSpec
from .layers import OwnNormsLayer
from .network import Adapter
from .projectors.two_scales import TwoScalesProjector


class SteppingPart(nn.Module):
    """The resampler, under the name that an adapter's projector has, and the layers; all of it the adapter's own."""

    def __init__(self, adapter: Adapter) -> None:
        super().__init__()
        assert isinstance(adapter.image_proj, TwoScalesProjector)
        self.spec: AdapterSpec = adapter.spec
        self.image_proj = adapter.image_proj.resampler
        self.ip_adapter = adapter.ip_adapter

    def layer_at(self, index: int) -> OwnNormsLayer:
        """The layer in a place, counted from 0 in the file's order."""
        layer = self.ip_adapter[str(self.spec.layers[index].number)]
        assert isinstance(layer, OwnNormsLayer)
        return layer


def read_reference(adapter: Adapter, features: tuple[Tensor, ...]) -> Tensor:
    """What of a reference's features is the same at every step, (1, 2 L, E)."""
    assert isinstance(adapter.image_proj, TwoScalesProjector)
    return adapter.image_proj.reference(features)
