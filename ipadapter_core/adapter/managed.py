"""An adapter whose memory ComfyUI manages, and the keys and values that it made of each reference."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

import comfy.model_management
import comfy.model_patcher

from ..checkpoint.enums import LayerKind
from ..checkpoint.spec import AdapterSpec
from ..prompt.features import alone, parts_of
from ..prompt.image_prompt import EncodedImage
from .key_value_bank import KeyValueBank, project
from .network import Adapter
from .own_attention import Folding, OwnAttentionLayer
from .projected_references import ProjectedReferences, Sides
from .stepping_part import SteppingPart, read_reference


@dataclass(frozen=True, eq=False)
class ManagedAdapter:
    """An adapter whose memory ComfyUI manages: what the IP_ADAPTER socket carries.

    `lora` are the tensors of the LoRA inside some files, by their names there; mapped, not loaded. `gain` multiplies what
    its keys and values are made from. `record` is what its training noted, for the metadata of its file.
    """

    spec: AdapterSpec
    patcher: comfy.model_patcher.ModelPatcher
    lora: dict[str, Tensor] = field(default_factory=dict[str, Tensor], repr=False)
    gain: float = 1.0
    record: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    projected: ProjectedReferences = field(default_factory=ProjectedReferences, repr=False)

    @property
    def network(self) -> Adapter:
        """The adapter's layers; they cast their weights to whatever device and dtype their input has."""
        return self.patcher.model

    def bank(self, image: EncodedImage, text_projection: nn.Module | None = None) -> KeyValueBank:
        """The keys and values of a reference, projected at the first call and remembered as long as it is there.

        `text_projection` is the model's, a linear layer, for adapters whose tokens have to pass it.
        """
        maker = self.network if text_projection is None else text_projection
        bank = self.projected.bank(image, maker, lambda: self._project(image, text_projection))
        return bank if self.gain == 1 else bank.scaled(self.gain)

    @cached_property
    def stepping(self) -> comfy.model_patcher.ModelPatcher:
        """What has to stay loaded while a model samples, where the adapter's tokens change from step to step."""
        if self.spec.layer_kind is not LayerKind.OWN_NORMS:
            return self.patcher
        part = SteppingPart(self.network).eval()
        return comfy.model_patcher.CoreModelPatcher(part, self.patcher.load_device, self.patcher.offload_device)

    def sides(self, image: EncodedImage) -> Sides:
        """What the adapter reads of a reference and of its negative at each step, (1, L, E) each; the very same tensor where
        the negative is the reference itself. Made at the first call and remembered as long as the reference is there.
        """
        if self.spec.layer_kind is not LayerKind.OWN_NORMS:
            return alone(image.features), alone(image.negative)
        return self.projected.sides(image, lambda: self._read(image))

    def folding(self) -> Folding:
        """How this adapter's keys and values become what its layers multiply by, where those ask with their own query."""
        return Folding(tuple(cast(OwnAttentionLayer, layer) for layer in self.network.ip_adapter.values()))

    def _project(self, image: EncodedImage, text_projection: nn.Module | None) -> KeyValueBank:
        device = self.patcher.load_device
        comfy.model_management.free_memory(self._working_memory(), device)
        translate = None if text_projection is None else _Translation(text_projection)
        return project(self.network, image.features, image.negative, device, translate)

    def _read(self, image: EncodedImage) -> Sides:
        device = self.patcher.load_device
        comfy.model_management.free_memory(self._working_memory(), device)
        features, negative = parts_of(image.features), parts_of(image.negative)
        with torch.inference_mode(False), torch.no_grad():
            made = read_reference(self.network, tuple(part.to(device) for part in features)).cpu()
            if all(torch.equal(one, other) for one, other in zip(features, negative, strict=True)):
                return made, made
            return made, read_reference(self.network, tuple(part.to(device) for part in negative)).cpu()

    def _working_memory(self) -> int:
        """Bytes that a projection needs: weights pass through one layer at a time, in float32."""
        largest = max(parameter.numel() for parameter in self.network.parameters())
        return 3 * 4 * largest


@dataclass(frozen=True, eq=False)
class _Translation:
    """A linear layer of a model that may lie anywhere and in any dtype, on tokens (B, N, C)."""

    layer: Any  # a module with a weight and a bias

    def __call__(self, tokens: Tensor) -> Tensor:
        weight, bias = (part.to(tokens) for part in (self.layer.weight, self.layer.bias))
        return nn.functional.linear(tokens, weight, bias)
