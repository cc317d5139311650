"""An adapter that learns: its live projections where sampling has a bank of keys and values."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import comfy.model_management
import comfy.model_patcher
import comfy.ops
from comfy.model_patcher import ModelPatcher

from ..adapter.key_value_bank import KeyValueBank
from ..adapter.managed import ManagedAdapter
from ..adapter.network import Adapter
from ..adapter.several_references import WeightedBank
from ..checkpoint.enums import LayerKind
from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec
from ..errors import TrainingError
from ..patchers.apply import FAMILIES, fitting_blocks
from ..patchers.hooks.wrappers import add_application
from ..prompt.features import alone
from ..prompt.image_prompt import EncodedImage
from ..sampling.application import Application, Block, LiveAdapter, LiveReference
from ..weights.layer_weights import LayerWeights


@dataclass(frozen=True, eq=False)
class LearningAdapter:
    """An adapter's network in float32 on the device that trains it, and where its layers act in a model."""

    managed: ManagedAdapter
    blocks: tuple[Block, ...]

    @property
    def spec(self) -> AdapterSpec:
        """What it is."""
        return self.managed.spec

    @property
    def network(self) -> Adapter:
        """What learns."""
        return self.managed.network

    def parameters(self) -> dict[str, Tensor]:
        """Everything that learns, by its name in the file."""
        return dict(self.network.named_parameters())

    def application(self, features: Tensor, negative: Tensor) -> Application:
        """What the model's layers see of features (B, E) or (B, L, E), one for each row; gradients reach the network.

        `negative` is there for adapters that read both sides at each step; the rows see `features`.
        """
        layers = LayerWeights().resolve(self.blocks)
        kind, patcher = self.spec.layer_kind, self.managed.patcher
        if kind is LayerKind.JOINT:
            pairs = zip(torch.split(features, 1), torch.split(negative, 1), strict=True)
            live = LiveAdapter(patcher, tuple(LiveReference(*pair) for pair in pairs), by_row=True)
            return Application(self.blocks, (), layers, per_frame=True, live=live)
        live = LiveAdapter(patcher) if kind is LayerKind.GATED else None
        return Application(self.blocks, self._banks(features), layers, per_frame=True, live=live)

    def _banks(self, features: Tensor) -> tuple[WeightedBank, ...]:
        """A bank for each row, whose negative side is its positive one: no row of a training's call looks there."""
        tokens = self.network.image_tokens(features)
        pairs = [self.network.key_value(layer.number, tokens) for layer in self.spec.layers]
        keys, values = ([_both_sides(part) for part in side] for side in zip(*pairs, strict=True))
        return tuple(
            WeightedBank(KeyValueBank(tuple(key[row] for key in keys), tuple(value[row] for value in values)))
            for row in range(len(tokens))
        )

    def prepared(self, model: ModelPatcher) -> ModelPatcher:
        """A clone of a model with the hooks of its family; each call says for itself what they are about."""
        family = FAMILIES[self.spec.base]
        nothing = Application(self.blocks, (), LayerWeights().resolve(self.blocks))
        return add_application(family.prepare(model, self.managed), nothing, family.compose)


def learning(adapter: ManagedAdapter, model: ModelPatcher) -> LearningAdapter:
    """A copy of an adapter that can be trained with a model, in float32, on the model's device.

    Raises `ModelMismatchError` where they do not belong together, `TrainingError` where an adapter reads more than images.
    """
    check_trainable(adapter.spec)
    blocks = fitting_blocks(model, adapter.spec)
    copied = managed_network(adapter.spec, adapter.network.state_dict(), adapter, model.load_device)
    return LearningAdapter(copied, blocks)


def check_trainable(spec: AdapterSpec) -> None:
    """Raises `TrainingError` where an adapter reads more than whole images, which is all that a training shows it."""
    row = FEATURES[spec.projector.feature]
    if not row.from_one_image or row.second:
        raise TrainingError(
            f"{spec.file} ({spec.kind}) reads {spec.projector.feature.value}, expected an adapter that reads whole images: "
            "choose another file in Load IP-Adapter, or use New IP-Adapter"
        )


def managed_network(
    spec: AdapterSpec,
    weights: dict[str, Tensor],
    like: ManagedAdapter | None = None,
    device: torch.device | None = None,
) -> ManagedAdapter:
    """An adapter of copied weights in float32: on a device, where it learns, or where ComfyUI keeps what is loaded."""
    network = Adapter(spec, comfy.ops.manual_cast, device="meta")
    kept = device or comfy.model_management.unet_offload_device()
    own = {name: tensor.detach().to(kept, torch.float32, copy=True) for name, tensor in weights.items()}
    network.load_state_dict(own, assign=True)
    network.requires_grad_(device is not None)
    load_device: Any = device or comfy.model_management.get_torch_device()
    patcher = comfy.model_patcher.CoreModelPatcher(network.eval(), load_device=load_device, offload_device=kept)
    return ManagedAdapter(spec, patcher, {} if like is None else like.lora, 1.0 if like is None else like.gain)


def features_of(image: EncodedImage) -> tuple[Tensor, Tensor]:
    """An image's features and its negative, (1, E) or (1, L, E) each."""
    return alone(image.features).detach().clone().float(), alone(image.negative).detach().clone().float()


def _both_sides(part: Tensor) -> Tensor:
    """(B, N, D) -> (B, 2, N, D)."""
    return part.unsqueeze(1).expand(-1, 2, -1, -1)
