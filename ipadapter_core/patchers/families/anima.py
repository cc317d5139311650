"""Anima: attention to image tokens with the text cross-attention's query, added in one of two places.

    LuciferTC: block_out += gate(SiLU(t)) * Attn(q, K, V), behind the block
    PE-Core:   text_out += factor * Attn(q, K, V), before the cross-attention's own projection

ComfyUI has no hook behind an Anima block, so each block's forward hooks and its cross-attention's operation are object
patches, ComfyUI's own way to replace a part of a model while a patched clone is loaded.
Source: LuciferTC9527/ComfyUI-Anima_IP-Adapter; sorryhyun/anima_lora (3f7ca1f3~1), networks/methods/ip_adapter.py.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import comfy.lora
from comfy.ldm.anima.model import Anima
from comfy.model_patcher import ModelPatcher

from ...adapter.managed import ManagedAdapter
from ...checkpoint.spec import AdapterSpec, LayerKind
from ...errors import ModelMismatchError, SamplingError
from ...masks.token_grid import patch_grid
from ...sampling.application import Application, Block
from ...sampling.layer_call import LayerCall, add_weighed, attend
from ...sampling.layer_slot import slots_by_block
from ...sampling.plan import ModelCallPlan
from ...sampling.run import Run
from ..hooks.attention_inputs import plain_tensor
from ..hooks.hook_cache import cached_hooks
from ..hooks.model_call import plan_of
from ..hooks.module_hooks import AFTER, add_hook, put_back, remove_hooks
from ..hooks.wrappers import PLAN, CallState, Options, applications_of
from ..own_loras import add_own_lora
from .family import Family

MODELS = (Anima,)
INSIDE, BEHIND = 0, 1  # the last number of a place: before the cross-attention's projection, or behind the block
PLACE = "block"


def blocks_for(spec: AdapterSpec, network: Anima) -> tuple[Block, ...]:
    """Where each layer of the adapter acts. Raises `ModelMismatchError` unless the model has its layers and width."""
    blocks = network.blocks
    if len(blocks) != len(spec.layers) or {layer.width for layer in spec.layers} != {network.model_channels}:
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value} ({len(spec.layers)} layers of width {spec.layers[0].width}), but the model "
            f"has {len(blocks)} blocks of width {network.model_channels}: load Anima, or another file in Load IP-Adapter"
        )
    place = BEHIND if spec.layer_kind is LayerKind.GATED else INSIDE
    return tuple((PLACE, number, place) for number in range(len(blocks)))


@dataclass(frozen=True, eq=False)
class CrossAttention:
    """A block's text cross-attention: adds what applications have here, and leaves in the plan what is for behind the block."""

    number: int
    original: Any

    def __call__(
        self, query: Any, key: Any, value: Any, *args: Any, transformer_options: Options | None = None, **kwargs: Any
    ) -> Tensor:
        """(B, L, H, D / H) for each -> (B, L, D); what a newer core says besides goes on to its own attention."""
        options = transformer_options or {}
        plan: ModelCallPlan | None = options.get(PLAN)
        tokens = plain_tensor(query)
        out = self.original(query, key, value, *args, transformer_options=options, **kwargs)
        if plan is None:
            return out
        grid = patch_grid(plan.layout.latent)
        call = LayerCall(tokens.flatten(2), tokens.shape[2], (grid,), unit=grid[1])
        inside = plan.attend((PLACE, self.number, INSIDE), call)
        behind = (PLACE, self.number, BEHIND)
        plan.pending[behind] = [
            (slot, add_weighed(None, attend(call.query, key_value, call.heads), exclusive=True))
            for slot, key_value in plan.key_values(behind, call)
        ]
        return out if inside is None else out + add_weighed(None, inside, exclusive=True).to(out.dtype)


@dataclass(frozen=True, eq=False)
class BehindBlock:
    """A hook of the block's own module, so that it holds none: adds what its cross-attention left, under the adapter's gate."""

    number: int

    def __call__(self, _block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor) -> Tensor:
        """tokens (B, T, H, W, D) behind the block, whose time embedding is (B, T, D) -> the same shape."""
        plan: ModelCallPlan | None = _options(kwargs).get(PLAN)
        if plan is None:
            return out
        time_embedding, waiting = args[1], plan.pending.pop((PLACE, self.number, BEHIND), None)
        if waiting is None and plan.acts((PLACE, self.number, INSIDE), (PLACE, self.number, BEHIND)):
            raise SamplingError(
                f"block {self.number} of Anima has another attention operation than Apply IP-Adapter gave it, so that the "
                "reference would not be seen: take out the node or engine that replaces Anima's attention, or Apply IP-Adapter"
            )
        for slot, addition in waiting or ():
            live = slot.application.live
            gate = live.patcher.model.layer_at(slot.index).gate_at(time_embedding)[:, :, None, None]
            out = out.addcmul(gate.to(out.dtype), torch.unflatten(addition, 1, out.shape[1:4]).to(out.dtype))
        return out


def _options(arguments: dict[str, Any]) -> Options:
    return arguments.get("transformer_options") or {}


def compose(applications: list[Application], options: Options, run: Run, _state: CallState) -> Options:
    """Options with the plan that the blocks ask."""
    slots = cached_hooks(run, applications, {}, lambda: slots_by_block(applications))
    return options | {PLAN: plan_of(applications, options, slots)}


def prepare(model: ModelPatcher, adapter: ManagedAdapter) -> ModelPatcher:
    """A clone whose blocks can be added to, with the LoRA that the adapter was trained with; both only once.

    ComfyUI copies object patches to the models of other devices: no hook holds a part of the model that it is set on.
    """
    prepared = model.clone()
    for number in range(len(model.get_model_object("diffusion_model").blocks)):
        path = f"diffusion_model.blocks.{number}"
        operation = prepared.get_model_object(f"{path}.cross_attn.attn_op")
        if not isinstance(operation, CrossAttention):
            prepared.add_object_patch(f"{path}.cross_attn.attn_op", CrossAttention(number, operation))
        add_hook(prepared, path, AFTER, BehindBlock(number))
    present = applications_of(model.model_options["transformer_options"])
    if adapter.lora and all(one.live is None or one.live.patcher is not adapter.patcher for one in present):
        names = comfy.lora.model_lora_keys_unet(model.model, {})
        weights = {f"diffusion_model.{key}": tensor for key, tensor in adapter.lora.items()}
        add_own_lora(prepared, comfy.lora.load_lora(weights, names), 1.0, scales=False)
    return prepared


def restore(model: ModelPatcher) -> None:
    """Takes the hooks of `prepare` out of the very `model`; what other packs set stays."""
    for path, patch in list(model.object_patches.items()):
        if isinstance(patch, CrossAttention):
            put_back(model, path, patch.original)
    remove_hooks(model)


ANIMA = Family(MODELS, blocks_for, compose, prepare, restore)
