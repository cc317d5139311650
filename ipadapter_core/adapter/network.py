"""The adapter itself: a projector and a key and a value projection for each cross-attention layer."""

from typing import Any

from torch import Tensor, nn

from ..checkpoint.spec import AdapterSpec, FileNumber
from ..host import Operations
from ..prompt.features import Features
from .layers import KeyValueLayer, build_layer
from .lynx_layers import LynxLiteLayer
from .own_attention import OwnAttentionLayer
from .projectors.build import build_projector

AnyLayer = KeyValueLayer | OwnAttentionLayer | LynxLiteLayer


class Adapter(nn.Module):
    """The network in a file; its `state_dict` has exactly the file's flat keys.

    `operations` is a namespace of layer classes (`comfy.ops.manual_cast`, or `torch.nn` for training).
    Source: Ye et al. 2023, "IP-Adapter", equation 5; tencent-ailab/IP-Adapter (62e4af9), attention_processor.py.
    """

    def __init__(self, spec: AdapterSpec, operations: Operations, **options: Any) -> None:
        super().__init__()
        self.spec = spec
        self.reads = {layer.number: slice(*layer.tokens or (None,)) for layer in spec.layers}
        self.image_proj = build_projector(spec.projector, operations, **options)
        self.ip_adapter = nn.ModuleDict(
            {str(layer.number): build_layer(spec, layer, operations, **options) for layer in spec.layers}
        )

    def image_tokens(self, features: Features) -> Tensor:
        """Projects features, (B, E) or (B, L, E) or what the projector takes in parts, to image tokens (B, N, C)."""
        return self.image_proj(features)

    def numbered_layer(self, number: FileNumber) -> AnyLayer:
        """The layer that has `number` in the file."""
        layer = self.ip_adapter[str(number)]
        assert isinstance(layer, AnyLayer)
        return layer

    def layer_at(self, index: int) -> AnyLayer:
        """The layer in a place, counted from 0 in the file's order."""
        return self.numbered_layer(self.spec.layers[index].number)

    def key_value(self, number: FileNumber, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The key and the value (B, N, D) of the layer that has `number` in the file, for image tokens (B, N, C)."""
        return self.numbered_layer(number).key_value(tokens[:, self.reads[number]])
