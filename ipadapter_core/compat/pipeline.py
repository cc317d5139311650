"""What the IPADAPTER socket carries: an adapter alone, or with whatever a loader found for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from ..adapter.load import adapter_from_weights
from ..adapter.managed import ManagedAdapter
from ..encoders.image_encoder import ImageEncoder
from ..errors import EncoderMismatchError, IPAdapterError

FOREIGN = "the IPADAPTER of another pack"
PARTS = ("image_proj", "ip_adapter")
V2 = "faceidplusv2"  # the mark that tells FaceID Plus V2 from Plus there


class AdapterModel(Mapping[str, "dict[str, Tensor]"]):
    """The model of a pipeline: programs find its tensors by part and name as they did, our nodes the adapter itself."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__  # pyright: ignore[reportAssignmentType] - unlike other mappings it is found by identity

    def __init__(self, adapter: ManagedAdapter) -> None:
        self.adapter = adapter

    def __getitem__(self, part: str) -> dict[str, Tensor]:
        if part not in PARTS:
            raise KeyError(part)
        weights = self.adapter.network.state_dict()
        return {key.removeprefix(f"{part}."): one for key, one in weights.items() if key.startswith(f"{part}.")}

    def __iter__(self) -> Iterator[str]:
        return iter(PARTS)

    def __len__(self) -> int:
        return len(PARTS)


@dataclass(frozen=True, eq=False)
class Pipeline:
    """An adapter and, from a unified loader, its image encoder and face analysis."""

    adapter: ManagedAdapter
    encoder: ImageEncoder | None = None
    analysis: Any = None

    def encoder_for(self, given: ImageEncoder | None) -> ImageEncoder:
        """The encoder that is connected to the node, else the loader's; raises `EncoderMismatchError` without one."""
        encoder = given if given is not None else self.encoder
        if encoder is None:
            raise EncoderMismatchError(
                f"{self.adapter.spec.file} needs the image encoder {self.adapter.spec.encoder} and there is none: connect "
                "Load CLIP Vision to clip_vision of this node, or load with IPAdapter Unified Loader"
            )
        return encoder

    def as_dict(self, provider: str | None = None) -> dict[str, dict[str, Any]]:
        """The dictionary that programs index and change."""
        return {
            "clipvision": {"file": None, "model": self.encoder},
            "ipadapter": {"file": self.adapter.spec.file, "model": AdapterModel(self.adapter)},
            "insightface": {"provider": provider, "model": self.analysis},
        }


def pipeline_of(value: Any) -> Pipeline:
    """The pipeline of an IPADAPTER socket, also where ComfyUI_IPAdapter_plus itself made what it carries.

    Raises `IPAdapterError` for anything else.
    """
    if isinstance(value, Pipeline):
        return value
    parts: Mapping[str, Any] = cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}
    if "ip_adapter" in parts:
        return Pipeline(_adapter(parts))
    if isinstance(model := _model(parts, "ipadapter"), Mapping):
        return Pipeline(
            _adapter(cast(Mapping[str, Any], model)), _model(parts, "clipvision"), _model(parts, "insightface")
        )
    found = type(cast(object, value)).__name__
    raise IPAdapterError(
        f"ipadapter: found {found}, expected what IPAdapter Unified Loader or IPAdapter Model Loader gives: "
        "connect one of them"
    )


def _model(value: Mapping[str, Any], part: str) -> Any:
    there: Any = value.get(part) or {}
    return there.get("model")


def _adapter(model: Mapping[str, Any]) -> ManagedAdapter:
    """Our own adapter, or one from nested weights; marks that are no tensors are left out."""
    if isinstance(model, AdapterModel):
        return model.adapter
    parts = {name: dict(model[name]) for name in PARTS if isinstance(model.get(name), Mapping)}
    file = f"{FOREIGN} (plusv2)" if model.get(V2) else FOREIGN
    return adapter_from_weights(parts, file)
