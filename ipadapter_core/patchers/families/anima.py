"""Anima: attention to image tokens with the text cross-attention's query, added in one of two places.

    LuciferTC: block_out += gate(SiLU(t)) * Attn(q, K, V), behind the block
    PE-Core:   text_out += factor * Attn(q, K, V), before the cross-attention's own projection

ComfyUI has no hook behind an Anima block, so each block's `forward` and its cross-attention's operation are object patches,
ComfyUI's own way to replace a part of a model while a patched clone is loaded.
Source: LuciferTC9527/ComfyUI-Anima_IP-Adapter; sorryhyun/anima_lora (3f7ca1f3~1), networks/methods/ip_adapter.py.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import comfy.lora
from comfy.ldm.anima.model import Anima
from comfy.model_patcher import ModelPatcher

from ...adapter.managed import ManagedAdapter
from ...checkpoint.spec import AdapterSpec
from ...errors import ModelMismatchError
from ...masks.token_grid import token_grid
from ...sampling.application import Application, Block
from ...sampling.layer_call import LayerCall, add_weighed, attended, image_bank
from ...sampling.run import Run
from ..hooks.hook_cache import kept
from ..hooks.layer_slot import Place, places_by_block
from ..hooks.model_call import ModelParts, acting_at, model_call, part_of
from ..hooks.wrappers import CALL, CallState, Options, applications_of

MODELS = (Anima,)
PARTS = "ipadapter_core_parts"
WAITING = "ipadapter_core_waiting"
PLACE = "block"


def blocks_for(spec: AdapterSpec, network: nn.Module) -> tuple[Block, ...]:
    """Where each layer of the adapter acts. Raises `ModelMismatchError` unless the model has its layers and width."""
    blocks = network.blocks
    if len(blocks) != len(spec.layers) or {layer.width for layer in spec.layers} != {network.model_channels}:
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value} ({len(spec.layers)} layers of width {spec.layers[0].width}), but the model "
            f"has {len(blocks)} blocks of width {network.model_channels}: load Anima, or another file in Load IP-Adapter"
        )
    return tuple((PLACE, number, 0) for number in range(len(blocks)))


@dataclass(frozen=True, eq=False)
class CrossAttention:
    """A block's text cross-attention: adds what each application has here, and notes what is for behind the block."""

    number: int
    original: Any

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, transformer_options: Options | None = None) -> Tensor:
        """(B, L, H, D / H) for each -> (B, L, D)."""
        options = transformer_options or {}
        out = self.original(query, key, value, transformer_options=options)
        for place, addition in self._outputs(query, options) if WAITING in options else ():
            if place.application.live is None:
                out = out + addition.to(out.dtype)
            else:
                options[WAITING].append((place, addition))
        return out

    def _outputs(self, query: Tensor, options: Options) -> list[tuple[Place, Tensor]]:
        call: ModelParts = options[CALL]
        acting, rows = acting_at(options[PARTS].get((PLACE, self.number, 0), ()), call, query.shape[0])
        if rows is None:
            return []
        grid = token_grid(query.shape[1], (rows.latent,))
        layer = LayerCall(query.flatten(2), query.shape[2], grid, rows)
        banks = (
            (place, image_bank(place.application, place.index, layer, part_of(place, call, layer))) for place in acting
        )
        return [
            (place, add_weighed(None, attended(layer.query, bank, layer.heads), own=True))
            for place, bank in banks
            if bank is not None
        ]


@dataclass(frozen=True, eq=False)
class ImageBlock:
    """A block's forward: adds what its cross-attention noted, under the adapter's gate."""

    original: Any

    def __call__(self, tokens: Tensor, time_embedding: Tensor, *args, **kwargs) -> Tensor:
        """tokens (B, T, H, W, D), time embedding (B, T, D) -> (B, T, H, W, D)."""
        options = kwargs.get("transformer_options") or {}
        if PARTS not in options:
            return self.original(tokens, time_embedding, *args, **kwargs)
        waiting: list[tuple[Place, Tensor]] = []
        kwargs = kwargs | {"transformer_options": options | {WAITING: waiting}}
        out = self.original(tokens, time_embedding, *args, **kwargs)
        for place, addition in waiting:
            live = place.application.live
            assert live is not None
            gate = live.patcher.model.layer_at(place.index).gate_at(time_embedding)[:, :, None, None]
            out = out.addcmul(gate.to(out.dtype), addition.unflatten(1, out.shape[1:4]).to(out.dtype))
        return out


def compose(applications: list[Application], options: Options, run: Run, _state: CallState) -> Options:
    """Options that tell the blocks who acts where."""
    parts = kept(run, applications, {}, lambda: places_by_block(applications))
    return options | {PARTS: parts, CALL: model_call(applications, options)}


def prepare(model: ModelPatcher, adapter: ManagedAdapter) -> ModelPatcher:
    """A clone whose blocks can be added to, with the LoRA that the adapter was trained with; both only once."""
    prepared = model.clone()
    for number in range(len(model.get_model_object("diffusion_model").blocks)):
        for name, patch in (("forward", ImageBlock), ("cross_attn.attn_op", None)):
            path = f"diffusion_model.blocks.{number}.{name}"
            original = prepared.get_model_object(path)
            if not isinstance(original, ImageBlock | CrossAttention):
                hook = patch(original) if patch else CrossAttention(number, original)
                prepared.add_object_patch(path, hook)
    present = applications_of(model.model_options["transformer_options"])
    if adapter.lora and all(one.live is None or one.live.patcher is not adapter.patcher for one in present):
        names = comfy.lora.model_lora_keys_unet(model.model, {})
        weights = {f"diffusion_model.{key}": tensor for key, tensor in adapter.lora.items()}
        prepared.add_patches(comfy.lora.load_lora(weights, names), 1.0)
    return prepared
