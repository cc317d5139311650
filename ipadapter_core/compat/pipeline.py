"""What the IPADAPTER socket carries: an adapter alone, or with whatever a loader found for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..adapter.load import adapter_from_weights, flat
from ..adapter.managed import ManagedAdapter
from ..errors import EncoderMismatchError, IPAdapterError

FOREIGN = "the IPADAPTER of another pack"


@dataclass(frozen=True, eq=False)
class Pipeline:
    """An adapter and, from a unified loader, its image encoder and face analysis."""

    adapter: ManagedAdapter
    encoder: Any = None
    analysis: Any = None

    def encoder_for(self, given: Any) -> Any:
        """The encoder that is connected to the node, else the loader's; raises `EncoderMismatchError` without one."""
        encoder = given if given is not None else self.encoder
        if encoder is None:
            raise EncoderMismatchError(
                f"{self.adapter.spec.file} needs the image encoder {self.adapter.spec.encoder} and there is none: connect "
                "Load CLIP Vision to clip_vision of this node, or load with IPAdapter Unified Loader"
            )
        return encoder


def pipeline_of(value: Any) -> Pipeline:
    """The pipeline of an IPADAPTER socket, also where ComfyUI_IPAdapter_plus itself made what it carries.

    Raises `IPAdapterError` for anything else.
    """
    if isinstance(value, Pipeline):
        return value
    if isinstance(value, Mapping) and "ip_adapter" in value:
        return Pipeline(_foreign_adapter(value))
    if isinstance(value, Mapping) and isinstance(model := _model(value, "ipadapter"), Mapping):
        return Pipeline(_foreign_adapter(model), _model(value, "clipvision"), _model(value, "insightface"))
    raise IPAdapterError(
        f"ipadapter: found {type(value).__name__}, expected what IPAdapter Unified Loader or IPAdapter Model Loader gives: "
        "connect one of them"
    )


def _model(value: Mapping, part: str) -> Any:
    return (value.get(part) or {}).get("model")


def _foreign_adapter(model: Mapping) -> ManagedAdapter:
    """An adapter from nested weights; marks that are no tensors are left out."""
    parts = {name: dict(model[name]) for name in ("image_proj", "ip_adapter") if isinstance(model.get(name), Mapping)}
    weights: dict[str, Tensor] = flat(parts)
    file = f"{FOREIGN} (plusv2)" if model.get("faceidplusv2") else FOREIGN
    return adapter_from_weights(weights, file)
